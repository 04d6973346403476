"""`gateway passages`, `release`, `cancel`, `pause`, `resume` and `ready`: the console's API in a terminal."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.commands.options import config_option

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.config import Config

__all__ = ["Console", "cancel", "passages", "pause", "ready", "release", "resume"]

_ANSWER_S: Final = 10.0
_DECIDED: Final = {
    "release": "released",
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "resumed",
}
_COLOURS: Final = {"held": "yellow", "active": "cyan", "done": "green"}


class Console:
    """The console of a running gateway.

    Parameters
    ----------
    host : str
        A loopback address.
    port : int
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    @classmethod
    def of(cls, config: Config) -> Console:
        return cls(config.console.host, config.console.port)

    @property
    def url(self) -> str:
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}/"

    def passages(self) -> list[dict[str, Any]]:
        """Those in memory, newest first; each as `gateway.console.views.PassageView`."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/passages")["passages"]
        return found

    def status(self) -> dict[str, Any]:
        """As `gateway.console.views.StatusView`."""
        found: dict[str, Any] = self._ask("GET", "/api/status")
        return found

    def decide(self, passage_id: str, decision: str) -> None:
        """`release` or `cancel` a held passage."""
        self._ask("POST", f"/api/passages/{passage_id}/{decision}")

    def switch(self, destination: str, how: str) -> None:
        """`pause` or `resume` the deliveries to a destination."""
        self._ask("POST", f"/api/destinations/{urllib.parse.quote(destination, safe='')}/{how}")

    def drain(self) -> None:
        """Have the gateway stop as on SIGTERM."""
        self._ask("POST", "/api/drain")

    def reload(self) -> dict[str, Any]:
        """Have the gateway read its configuration file again; as `gateway.console.views.ReloadView`."""
        found: dict[str, Any] = self._ask("POST", "/api/reload")
        return found

    def _ask(self, method: str, path: str) -> Any:
        # Not urllib: it would go by a proxy that the environment names.
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_ANSWER_S)
        try:
            connection.request(method, path, headers={"X-Contourgate": "1"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise click.ClickException(f"no answer from {self.url}: is the gateway running?") from error
        finally:
            connection.close()
        content: Any = json.loads(body) if body else None
        if answer.status >= 400:
            raise click.ClickException(content["error"]["reason"])
        return content


@click.command()
@config_option
@click.option("--watch", is_flag=True, help="Show changes until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print what the console's API answers.")
def passages(config_file: Path, watch: bool, as_json: bool) -> None:
    """List the passages of the running gateway, newest first."""
    from gateway.config import load

    console = Console.of(load(config_file))
    if as_json:
        click.echo(json.dumps(console.passages(), indent=2))
        return
    from rich.console import Console as Terminal
    from rich.live import Live

    terminal = Terminal()
    if not watch:
        terminal.print(_table(console.passages()))
        return
    try:
        with Live(_table(console.passages()), console=terminal, auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(_table(console.passages()), refresh=True)
    except KeyboardInterrupt:
        return


@click.command()
@config_option
@click.pass_context
def ready(ctx: click.Context, config_file: Path) -> None:
    """Say whether the running gateway takes images now; exit code 1 if it does not."""
    from gateway.config import load

    status = Console.of(load(config_file)).status()
    for reason in (*status["reasons"], *status["alarms"]):
        click.echo(f"{reason['code']}: {reason['meaning']} {reason['hint']}")
    if status["is_ready"]:
        click.echo("ready")
    ctx.exit(0 if status["is_ready"] else 1)


@click.command()
@click.argument("passage")
@config_option
def release(passage: str, config_file: Path) -> None:
    """Send the held PASSAGE (its id, or how it begins) back to where it was held."""
    _decide(passage, config_file, "release")


@click.command()
@click.argument("passage")
@config_option
@click.confirmation_option(prompt="End this passage? Its images are dropped and nothing is delivered.")
def cancel(passage: str, config_file: Path) -> None:
    """End the held PASSAGE (its id, or how it begins)."""
    _decide(passage, config_file, "cancel")


@click.command()
@click.argument("destination")
@config_option
def pause(destination: str, config_file: Path) -> None:
    """Deliver nothing to DESTINATION until it is resumed, or until the gateway is started again."""
    _switch(destination, config_file, "pause")


@click.command()
@click.argument("destination")
@config_option
def resume(destination: str, config_file: Path) -> None:
    """Deliver to DESTINATION again, at once."""
    _switch(destination, config_file, "resume")


def _switch(destination: str, config_file: Path, how: str) -> None:
    from gateway.config import load

    Console.of(load(config_file)).switch(destination, how)
    click.echo(f"{destination}: {_DECIDED[how]}")


def _decide(beginning: str, config_file: Path, decision: str) -> None:
    from gateway.config import load

    console = Console.of(load(config_file))
    matching = [one["id"] for one in console.passages() if one["id"].startswith(beginning)]
    if len(matching) != 1:
        number = "no passage" if not matching else f"{len(matching)} passages"
        raise click.ClickException(f"{number} in memory whose id begins so")
    console.decide(matching[0], decision)
    click.echo(f"{matching[0]}: {_DECIDED[decision]}")


def _table(found: list[dict[str, Any]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("passage", "patient", "from", "slices", "state", "for", "reason"):
        table.add_column(heading, justify="right" if heading in ("slices", "for") else "left")
    now = datetime.now(UTC)
    for one in found:
        colour = "red" if one["is_late"] else _COLOURS.get(one["group"], "white")
        reason = one["reason"] or one["waiting"]
        table.add_row(
            one["id"][:8],
            escape(one["pseudonym"] or "-"),
            escape(one["source"]),
            str(one["received"]),
            f"[{colour}]{escape(one['state'])}[/]",
            _age((now - datetime.fromisoformat(one["since"])).total_seconds()),
            escape(f"{reason['code']}: {reason['meaning']}") if reason else "",
        )
    return table


def _age(seconds: float) -> str:
    if seconds < 100:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
