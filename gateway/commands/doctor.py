"""`gateway doctor`: whether this machine can carry the gateway, and whether all that it needs is there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from gateway.commands.options import config_option

__all__ = ["doctor"]

_COLOURS = {"well": "green", "caution": "yellow", "ill": "red"}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for a program.")
@click.pass_context
def doctor(ctx: click.Context, config_file: Path, as_json: bool) -> None:
    """Examine the machine, the clock, the disk, keys and certificates, journal and ledger, peers and contourer.

    Green (exit code 0) where nothing is ill, red (1) otherwise.
    """
    from gateway.config import load
    from gateway.doctor import examine, is_green

    diagnoses = []
    for diagnosis in examine(load(config_file)):
        diagnoses.append(diagnosis)
        if not as_json:
            finding = click.style(f"{diagnosis.finding:8}", fg=_COLOURS[diagnosis.finding])
            click.echo(f"{finding} {diagnosis.subject}: {diagnosis.text}")
    verdict = "green" if is_green(diagnoses) else "red"
    if as_json:
        document = {"verdict": verdict, "diagnoses": [asdict(diagnosis) for diagnosis in diagnoses]}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(click.style(verdict, fg=verdict))
    ctx.exit(0 if verdict == "green" else 1)
