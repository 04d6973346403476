"""Logs: one line for each event on standard error, with nothing in it that came over the network (R30).

An event is a constant of this program with fields of an allow-list; a value is a number, an enum, a time, a code of
the catalogue, hexadecimal digits, a configured name or a `Word`. Everything else is replaced by `withheld`. What
libraries log, warn or raise is told by its kind and its place in the code only, because their messages can quote a
dataset.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
from pynetdicom import _config as pynetdicom_config
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.errors import CATALOGUE, GatewayError, Word

FIELDS: Final = frozenset(
    {
        *("passage", "about", "state", "reason", "code", "error", "trouble", "facts"),
        *("association", "source", "destination", "peer", "model", "profile", "protection", "person", "deed"),
        *(
            "count",
            "status",
            "slices",
            "instances",
            "bytes",
            "seconds",
            "attempt",
            "port",
            "pid",
            "exit_code",
        ),
        *("entries", "entry", "head", "file", "fault", "offset", "signed_entries", "drained"),
        *("keys", "kind", "place", "places", "logger", "process", "mistakes", "line", "path"),
    }
)
"""Fields that an event may have; others are dropped."""
WITHHELD: Final = "withheld"
_EVENT: Final = re.compile(r"[a-z][a-z0-9 -]{0,63}")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{16,128}")
_PACKAGES: Final = Path(__file__).resolve().parent.parent
_DEEPEST: Final = 12
"""Frames told of one exception, the innermost ones."""


def is_event(text: str) -> bool:
    """Whether a text can be an event: lower-case words."""
    return _EVENT.fullmatch(text) is not None


class Admission:
    """The last processor before the line is written: lets through what may be told.

    Parameters
    ----------
    names : iterable of str
        The configured names that may be told.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        text = event.pop("event", "")
        told: EventDict = {
            "time": event.pop("time", ""),
            "level": method,
            "event": text if isinstance(text, str) and is_event(text) else WITHHELD,
        }
        failure = event.pop("exc_info", None)
        if failure:
            told.update(_failure(sys.exc_info()[1] if failure is True else failure))
        for name, value in event.items():
            if name in FIELDS:
                told[name] = self._admitted(value)
        return told

    def _admitted(self, value: object) -> object:
        if isinstance(value, Enum):  # a constant of this program, whatever its value
            return value.value if isinstance(value.value, int | str) else value.name
        if value is None or isinstance(value, bool | int | float | Word):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, GatewayError):
            return {"code": value.code, **{name: self._admitted(fact) for name, fact in value.facts.items()}}
        if isinstance(value, str):
            is_known = value in CATALOGUE or value in self._names or _HEXADECIMAL.fullmatch(value)
            return value if is_known or not value else WITHHELD
        if isinstance(value, list | tuple):
            return [self._admitted(item) for item in value]
        return WITHHELD


class _Libraries(logging.Handler):
    """What libraries log, by logger and place; their messages stay untold."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one record of a library."""
        structlog.get_logger().log(
            record.levelno,
            "library message",
            logger=_word(record.name),
            place=_place(record.pathname, record.lineno),
            exc_info=record.exc_info[1] if record.exc_info else None,
        )

    def handleError(self, record: logging.LogRecord) -> None:
        """Never print the record, which is what the original does."""


class _Warnings:
    """Warnings by kind and place, each place once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        kind, place = _word(category.__qualname__), _place(filename, lineno)
        if (kind, place) not in self._told:
            self._told.add((kind, place))
            structlog.get_logger().warning("warning of a library", kind=kind, place=place)


def configure(level: str = "INFO", names: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Set up the logs of this process: ours, those of libraries, warnings and what nobody caught.

    Parameters
    ----------
    level : {"DEBUG", "INFO", "WARNING", "ERROR"}
    names : iterable of str
        AE titles, destinations and models of the configuration, which a log may tell.
    stream : file, optional
        Standard error, if left out; a terminal gets words, anything else JSON.
    """
    out = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            Admission(names),
            _renderer(out),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _take_over_logging(level)
    # With any other action the interpreter remembers each message, and with it what the message quotes.
    warnings.simplefilter("always")
    warnings.showwarning = _Warnings()
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread
    faulthandler.enable(out if stream is None else sys.__stderr__ or sys.stderr, all_threads=True)


def of_event_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What an event loop calls with an exception that nobody awaits (`loop.set_exception_handler`)."""
    structlog.get_logger().error("uncaught in the event loop", exc_info=context.get("exception"))


def _take_over_logging(level: str) -> None:
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    logging.lastResort = None
    logging.raiseExceptions = False
    logging.captureWarnings(False)
    for logger in [logging.getLogger(name) for name in logging.root.manager.loggerDict]:
        logger.handlers.clear()
        logger.propagate = True
    logging.root.handlers[:] = [_Libraries()]
    # what libraries tell below a warning is of no use without its message, except to find out who tells it
    logging.root.setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(colors=True)
    return structlog.processors.JSONRenderer()


def _uncaught(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    structlog.get_logger().error("uncaught", exc_info=error)


def _uncaught_in_thread(what: threading.ExceptHookArgs) -> None:
    structlog.get_logger().error("uncaught in a thread", exc_info=what.exc_value)


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    structlog.get_logger().error("uncaught while cleaning up", exc_info=what.exc_value)


def _failure(error: BaseException | None) -> dict[str, Any]:
    """An exception by its kind, its code if it is ours, and its places; the same of its causes."""
    if error is None:
        return {}
    return {
        "error": [
            {
                "kind": _word(f"{type(each).__module__}.{type(each).__qualname__}"),
                **({"code": each.code} if isinstance(each, GatewayError) else {}),
                "places": _places(each),
            }
            for each in _with_causes(error)
        ]
    }


def _with_causes(error: BaseException, seen: tuple[int, ...] = ()) -> Iterator[BaseException]:
    if id(error) in seen or len(seen) > _DEEPEST:
        return
    yield error
    below = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for other in (*below, *((before,) if before else ())):
        yield from _with_causes(other, (*seen, id(error)))


def _places(error: BaseException) -> list[Word]:
    frames = list(traceback.walk_tb(error.__traceback__))[-_DEEPEST:]
    return [_place(frame.f_code.co_filename, line) for frame, line in frames]


def _place(path: str, line: int) -> Word:
    """A file by its last parts, and the line: no folder of the machine is told."""
    file = Path(path)
    parts = file.parts[-3:] if not file.is_relative_to(_PACKAGES) else file.relative_to(_PACKAGES).parts
    return _word(f"{'/'.join(parts[-4:])}:{line}")


def _word(text: str) -> Word:
    try:
        return Word(text[-80:].lstrip("/._<"))
    except ValueError:
        return Word(WITHHELD)
