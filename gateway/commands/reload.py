"""`gateway reload`: have the running gateway read its configuration again, without a restart."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli import EX_CONFIG
from gateway.commands.options import config_option
from gateway.commands.passages import Console

__all__ = ["reload"]


@click.command()
@config_option
@click.pass_context
def reload(ctx: click.Context, config_file: Path) -> None:
    """Have the running gateway take over changed sources, destinations, rules and the alarm.

    No passage is interrupted, and what waits for a destination or a PACS is tried again at once. Other keys wait for
    a restart; they are named. With a mistake in the file nothing changes.
    """
    from gateway.config import check, load

    if mistakes := check(config_file):
        for mistake in mistakes:
            click.echo(mistake, err=True)
        ctx.exit(EX_CONFIG)
    done = Console.of(load(config_file)).reload()
    click.echo(f"taken over: {', '.join(done['taken']) or 'nothing has changed'}")
    if done["restart"]:
        click.echo(f"only after a restart: {', '.join(done['restart'])}")
