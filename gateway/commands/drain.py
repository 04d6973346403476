"""`gateway drain`: have the running gateway stop, and tell what it waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gateway.commands.options import config_option
from gateway.commands.passages import Console

__all__ = ["drain", "waits_for"]

LOOK_EVERY_S: Final = 0.5


@click.command()
@config_option
def drain(config_file: Path) -> None:
    """Have the running gateway take nothing new, finish what it can, and stop; tell what it waits for.

    What does not end in time (`passage.drain_s`) or waits for a person is brought back after the next start.
    """
    from gateway.config import load

    console = Console.of(load(config_file))
    console.drain()
    click.echo("draining: nothing new is taken")
    told: tuple[str, ...] = ()
    left: Sequence[Mapping[str, Any]] = ()
    while True:
        try:
            left = console.passages()
        except click.ClickException:
            break  # it has stopped
        lines = tuple(waits_for(left))
        for line in lines if lines != told else ():
            click.echo(line)
        told = lines
        time.sleep(LOOK_EVERY_S)
    parked = [one for one in left if one["group"] != "done"]
    click.echo(f"stopped; {len(parked)} to be brought back after the next start" if parked else "stopped")


def waits_for(passages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each passage that has not ended.

    Parameters
    ----------
    passages : sequence of mapping
        As `gateway.console.views.PassageView`.
    """
    for one in passages:
        if one["group"] == "done":
            continue
        reason = f": {one['reason']['code']}" if one["reason"] else ""
        what = "waits for a person" if one["group"] == "held" else "waits for"
        yield f"  {what} {one['id'][:8]} {one['state']}{reason}"
