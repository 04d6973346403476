"""`gateway support`: everything that helps to find a fault, in one document that holds no identity.

In: the configuration, the machine, the running gateway, the end of its log. Out: one JSON document that a person reads
before it leaves the house. It holds no secret: keys and passwords stand in files that are named, not read; what follows
a host in a URL is left out. It names no patient and no passage. The log is let through the same gate a second time,
so that a line that somebody else wrote into it is only counted.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from gateway.commands.options import config_option

if TYPE_CHECKING:
    from gateway.config import Config

__all__ = ["lines_of", "masked", "support"]

LINES: Final = 500
"""Of the log, the last ones."""
_LONGEST_LINE: Final = 8192
_ANSWER_S: Final = 10.0
_PLACE: Final = re.compile(r"[A-Za-z0-9_./-]{1,120}\.py:\d{1,6}")
_KIND: Final = re.compile(r"(builtins|asyncio\.\w+|gateway(\.[a-z_]+)+)\.[A-Z][A-Za-z]{2,40}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "critical"})


@click.command()
@config_option
@click.option(
    "--log",
    "log_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The gateway's log; what `journalctl -o cat` prints will do.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that is not there yet; without it, standard output.",
)
def support(config_file: Path, log_file: Path | None, output: Path | None) -> None:
    """Gather what helps to find a fault: configuration, machine, metrics, log. No identity and no secret is in it."""
    from gateway.config import load
    from gateway.doctor import examine

    config = load(config_file)
    document = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "configuration": masked(config.model_dump(mode="json")),
        "doctor": [f"{one.finding} {one.subject}: {one.text}" for one in examine(config)],
        "metrics": _metrics(config),
        "log": list(lines_of(_last(log_file), _words(config))) if log_file else None,
    }
    text = json.dumps(document, indent=2, default=str)
    if output is None:
        click.echo(text)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(error.strerror or "not possible") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    click.echo(f"{output}: read it before you send it")


def masked(value: Any) -> Any:
    """A configuration without what a URL may carry beside its host: names, passwords, tokens.

    Parameters
    ----------
    value : object
        Of JSON.
    """
    if isinstance(value, Mapping):
        return {
            key: "set" if key in ("username", "reason") and inner else masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/..."
    return value


def lines_of(lines: Iterable[str], names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What of a log may be told: our own lines through our own gate; the others only counted, at the end.

    Parameters
    ----------
    lines : iterable of str
    names : iterable of str
        Configured names and constants of the program.
    """
    from gateway.logs import WITHHELD, Admission

    admission, others = Admission(names), 0
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            others += 1
            continue
        time, level, failures = event.pop("time", ""), event.pop("level", ""), event.pop("error", None)
        event.pop("exc_info", None)
        told = dict(admission(None, level if level in _LEVELS else WITHHELD, event))
        told["time"] = time if isinstance(time, str) and _TIME.fullmatch(time) else WITHHELD
        if isinstance(failures, list):
            told["error"] = [_failure(one) for one in failures if isinstance(one, dict)]
        yield told
    if others:
        yield {"event": "lines of others", "count": others}


def _failure(told: Mapping[str, Any]) -> dict[str, Any]:
    """Kind and places of an exception, as far as they are of the forms that our log gives them."""
    kind, places = told.get("kind"), told.get("places")
    return {
        "kind": kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "of a library",
        "places": [
            place
            for place in (places if isinstance(places, list) else ())
            if isinstance(place, str) and _PLACE.fullmatch(place)
        ],
    }


def _words(config: Config) -> frozenset[str]:
    """Strings that a line of the log may hold: configured names and the program's own constants."""
    from gateway.config import Protection
    from gateway.passage import State

    return frozenset(
        {
            *(source.ae_title for source in config.sources),
            *(destination.name for destination in config.destinations),
            *(rule.model for rule in config.rules),
            *State,
            *Protection,
            *("released", "aborted", "stopping"),
        }
    )


def _versions() -> dict[str, str]:
    names = [
        re.split(r"[ ;<>=!~\[]", one)[0]
        for one in metadata.requires("contourgate") or ()
        if "extra ==" not in one
    ]
    return {
        "contourgate": metadata.version("contourgate"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        **{name: metadata.version(name) for name in sorted(names)},
    }


def _metrics(config: Config) -> list[str] | str:
    """What the running gateway counts; every label of it is a configured name or a constant."""
    connection = http.client.HTTPConnection(config.console.host, config.console.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return "the gateway does not answer"
    finally:
        connection.close()
    return [line for line in body.splitlines() if not line.startswith("#")]


def _last(path: Path) -> Iterable[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return deque((line[:_LONGEST_LINE] for line in file), maxlen=LINES)
