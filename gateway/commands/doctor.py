"""`gateway doctor`: whether this machine can carry the gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option

__all__ = ["doctor"]


@click.command()
@config_option
@click.pass_context
def doctor(ctx: click.Context, config_file: Path) -> None:
    """Examine the machine, the account, the state folder and the ledger. Exit code 1 if something is ill."""
    from gateway.config import load
    from gateway.doctor import Finding, examine

    is_ill = False
    for diagnosis in examine(load(config_file)):
        is_ill |= diagnosis.finding is Finding.ILL
        click.echo(f"{diagnosis.finding:8} {diagnosis.subject}: {diagnosis.text}")
    ctx.exit(1 if is_ill else 0)
