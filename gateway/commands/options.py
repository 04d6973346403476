"""What several commands take."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["config_option"]

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="/etc/contourgate/gateway.yaml",
    envvar="CONTOURGATE_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
