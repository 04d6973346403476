"""`gateway check`: whether the gateway can start with a configuration, before it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.options import config_option

if TYPE_CHECKING:
    from gateway.commands.peers import Address
    from gateway.config import Config

__all__ = ["check"]


@click.command()
@config_option
@click.option("--echo", "asks_peers", is_flag=True, help="Also ask each peer for an answer (C-ECHO).")
@click.pass_context
def check(ctx: click.Context, config_file: Path, asks_peers: bool) -> None:
    """Show every mistake of a configuration file as FILE:LINE: KEY: MESSAGE. Exit code 1 if there is any."""
    from gateway.config import check as mistakes_of
    from gateway.config import load

    mistakes = mistakes_of(config_file)
    if mistakes:
        for mistake in mistakes:
            click.echo(mistake)
        ctx.exit(1)
    config = load(config_file)
    key_problem = _of_clinic_key(config_file, config)
    if key_problem is not None:
        click.echo(key_problem)
        ctx.exit(1)
    for decision in _decisions(config):
        click.echo(f"{config_file}: note: {decision}")
    click.echo(f"{config_file}: no mistake")
    if asks_peers and not asyncio.run(_echo_all(config)):
        ctx.exit(1)


def _of_clinic_key(config_file: Path, config: Config) -> str | None:
    from gateway.errors import ConfigError
    from gateway.vault.keys import ClinicKey
    from gateway.yaml_lines import Document

    if not os.path.lexists(config.clinic_key_file):  # the first start makes it
        return None
    try:
        ClinicKey.load(config.clinic_key_file)
    except ConfigError as error:
        return str(Document(config_file).mistake(("clinic_key_file",), str(error)))
    return None


def _decisions(config: Config) -> Iterator[str]:
    """What is done without, knowingly."""
    if config.dicom.tls == "off":
        yield "dicom.tls is off: images come in the clear"
    for waiver in config.lockdown.waivers:
        yield f"{waiver.protection} is waived until {waiver.until}: {waiver.reason}"


async def _echo_all(config: Config) -> bool:
    from gateway.commands.peers import Address, scu_of
    from gateway.errors import PeerError

    peers: list[tuple[str, Address]] = [
        (f"destination {one.name}", Address(one.ae_title, one.host, one.port, one.tls))
        for one in config.destinations
    ]
    peers += [
        (f"source {one.ae_title}", Address(one.query.ae_title, one.query.host, one.query.port, one.query.tls))
        for one in config.sources
        if one.query is not None
    ]
    scu = scu_of(config)

    async def answers(label: str, peer: Address) -> bool:
        try:
            await scu.echo(peer)
        except PeerError as error:
            click.echo(f"{label} ({peer}): {error}\n    {error.hint}")
            return False
        click.echo(f"{label} ({peer}): answers")
        return True

    try:
        return all(await asyncio.gather(*(answers(label, peer) for label, peer in peers)))
    finally:
        await scu.close()
