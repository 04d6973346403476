"""`gateway demo`."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

import click
from rich.console import Console

from gateway.demo.story import Story

__all__ = ["demo"]


@click.command()
@click.option("--once", is_flag=True, help="End by itself; exit code 1 if a check fails.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON and nothing else.")
@click.option(
    "--slices", type=click.IntRange(10, 1000), default=60, show_default=True, help="CT slices to send."
)
def demo(once: bool, as_json: bool, slices: int) -> None:
    """Send a made patient's CT through a gateway of its own and tell what happens, stage by stage.

    Nothing leaves this machine, and nothing stays: the gateway runs in a temporary folder on free loopback ports,
    with the embedded contourer; the planning system is a stand-in that keeps what it gets in memory.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    terminal = Console(quiet=as_json, width=None if sys.stdout.isatty() else 120)
    try:
        with Story(terminal, slices).told() as (outcome, playground):
            if as_json:
                click.echo(json.dumps(outcome.as_json(), indent=2, ensure_ascii=False))
            if not once:
                terminal.print(
                    f"\nThe console stays open: {playground.console.url} (Ctrl-C ends)", highlight=False
                )
                signal.pause()
    except KeyboardInterrupt:
        sys.exit(130 if once else 0)
    sys.exit(0 if outcome.passed else 1)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
