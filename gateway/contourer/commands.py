"""`gateway contourer`: run a contourer of our own, and show who it is."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from gateway import logs
from gateway.cloud.tls import Certificate
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Records
from gateway.errors import GatewayError
from gateway.vault.lockdown import ENVIRONMENT

__all__ = ["contourer"]

_Folder = click.Path(file_okay=False, path_type=Path)
_File = click.Path(exists=True, dir_okay=False, path_type=Path)

_region = click.option("--region", required=True, help="ISO 3166 code of the country where everything stays.")


@click.group()
def contourer() -> None:
    """A contourer of our own: it can read a passage only after its clinic has committed it."""


def _region_of(text: str) -> str:
    if len(text) != 2 or not text.isascii() or not text.isupper():
        raise click.BadParameter("an ISO 3166 code has two capital letters", param_hint="--region")
    return text


@contourer.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True)
@_region
@click.option(
    "--state", type=_Folder, help="Where the keys and the records are kept; without it, in memory only."
)
@click.option(
    "--client-certificate", "clients", type=_File, multiple=True, help="A client that may connect, PEM."
)
@click.option("--anyone", is_flag=True, help="Let anyone connect who reaches the port.")
@click.option("--model", "models", multiple=True, help="A model on offer; without it, whatever is asked for.")
@click.option(
    "--timeout-s", type=click.FloatRange(1), default=900, show_default=True, help="For one passage."
)
def run(
    host: str,
    port: int,
    region: str,
    state: Path | None,
    clients: tuple[Path, ...],
    anyone: bool,
    models: tuple[str, ...],
    timeout_s: float,
) -> None:
    """Serve until SIGTERM. The identity to pin is printed first."""
    if not clients and not anyone:
        raise click.UsageError("name the clients with --client-certificate, or say --anyone")
    if anyone and not _is_loopback(host):
        raise click.UsageError("--anyone is for a loopback address only")
    _start_over_in(ENVIRONMENT)
    from gateway.contourer.process import keep_off_the_disk, serve, signalled
    from gateway.contourer.service import Settings

    try:
        keys = _keys(state, _region_of(region))
        record = Records(state)
        settings = Settings(
            models=frozenset(models),
            clients=tuple(path.read_bytes() for path in clients),
            timeout_s=timeout_s,
        )
        keep_off_the_disk(state)
        listening = socket.create_server((host, port))
    except GatewayError as error:
        raise click.ClickException(f"{error}\n{error.hint}") from None
    except OSError as error:
        raise click.ClickException(error.strerror or "not possible") from None
    logs.configure(names=models)
    click.echo(keys.public.model_dump_json(indent=2))
    address = listening.getsockname()

    def ready() -> None:
        click.echo(f"listening on {address[0]}:{address[1]}")

    asyncio.run(serve(keys, settings, listening, record, ready, signalled))


@contourer.command()
@_region
@click.option(
    "--state", type=_Folder, required=True, help="Where the keys are kept; made, if there are none."
)
def identity(region: str, state: Path) -> None:
    """Print who the contourer is: what a clinic pins as `contourer.identity_file`."""
    try:
        keys = _keys(state, _region_of(region))
    except GatewayError as error:
        raise click.ClickException(f"{error}\n{error.hint}") from None
    click.echo(keys.public.model_dump_json(indent=2))


@contourer.command()
@click.argument("name")
@click.option("--certificate", type=click.Path(path_type=Path), default="client.pem", show_default=True)
@click.option("--key", type=click.Path(path_type=Path), default="client.key", show_default=True)
def client(name: str, certificate: Path, key: Path) -> None:
    """Make a certificate for a clinic called NAME; it sends only the certificate to the contourer's operator."""
    made = Certificate.self_signed(name)
    try:
        for path, content, mode in ((certificate, made.certificate, 0o644), (key, made.key, 0o600)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with open(descriptor, "wb") as file:
                file.write(content)
    except OSError as error:
        raise click.ClickException(error.strerror or "not possible") from None
    click.echo(f"{made.sha256}")


def _start_over_in(environment: Mapping[str, str]) -> None:
    """Replace this process by the same one with these variables, which count only from its start."""
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(  # noqa: S606 - no shell is wanted
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **environment}
        )


def _keys(state: Path | None, region: str) -> ContourerKeys:
    return ContourerKeys.generate(region) if state is None else ContourerKeys.kept_in(state, region)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
