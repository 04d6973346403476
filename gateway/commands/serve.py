"""`gateway run`, and the two processes that it starts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import EX_CONFIG
from gateway.commands.options import config_option

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.yaml_lines import Place

__all__ = ["clerk", "run", "unavailable", "vault"]


@click.command()
@config_option
@click.pass_context
def run(ctx: click.Context, config_file: Path) -> None:
    """Start the gateway. It ends on SIGTERM or Ctrl-C, when what it holds has been brought to a safe state.

    Exit code 78: the configuration or the machine is not fit; the reason is on standard error.
    """
    from gateway.config import check, load
    from gateway.supervisor import run as supervise
    from gateway.yaml_lines import Document

    mistakes = check(config_file)
    if not mistakes:
        document = Document(config_file)
        mistakes = [document.mistake(place, message) for place, message in unavailable(load(config_file))]
    for mistake in mistakes:
        click.echo(mistake, err=True)
    ctx.exit(EX_CONFIG if mistakes else supervise(config_file))


@click.command(hidden=True)
@config_option
@click.option("--clerk-fd", type=int, required=True)
@click.pass_context
def vault(ctx: click.Context, config_file: Path, clerk_fd: int) -> None:
    """The process that holds the identities; started by `gateway run`."""
    from gateway.app import run_vault

    ctx.exit(run_vault(config_file, clerk_fd))


@click.command(hidden=True)
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--fd", type=int, required=True)
@click.pass_context
def clerk(ctx: click.Context, state_dir: Path, fd: int) -> None:
    """The process that owns the disk; started by `gateway run`."""
    from gateway.clerk.process import run as run_clerk

    ctx.exit(run_clerk(state_dir, fd))


def unavailable(config: Config) -> Iterator[tuple[Place, str]]:
    """The addresses that cannot be listened on now, and why."""
    for part, host, port in (
        ("dicom", config.dicom.host, config.dicom.port),
        ("console", config.console.host, config.console.port),
    ):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                yield (part, "port"), f"another program listens on port {port} already"
            elif error.errno == errno.EACCES:
                yield (part, "port"), f"this account may not listen on port {port}"
            else:
                yield (part, "host"), f"{host} is no address of this machine"
