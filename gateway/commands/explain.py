"""`gateway explain` and `gateway version`: what the program knows by itself."""

from __future__ import annotations

import difflib
import textwrap

import click

from gateway import __version__

__all__ = ["explain", "version"]


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Say what an error CODE means and what to do about it; without a code, list all."""
    from gateway.errors import CATALOGUE

    if code is None:
        for name, explanation in CATALOGUE.items():
            click.echo(f"{name}\n{textwrap.indent(textwrap.fill(explanation.meaning, 96), '    ')}")
        return
    name = code.upper().replace("-", "_")
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
        did_you_mean = f"; did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"{name} is no code of this version{did_you_mean}")
    click.echo(
        f"{name}\n\n{textwrap.fill(CATALOGUE[name].meaning, 96)}\n\n{textwrap.fill(CATALOGUE[name].hint, 96)}"
    )


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"contourgate {__version__}")
