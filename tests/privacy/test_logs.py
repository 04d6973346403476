"""No identifier in logs, warnings, tracebacks or crash output, at the most verbose level (R30)."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import logs

ROOT = Path(__file__).resolve().parents[2]
CANARY = "CANARY^PETRA"
APART = ("gateway/contourer/",)
"""The contourer is another program with a log of its own; it never sees an identity."""

SAY_IT_EVERYWHERE = """
import asyncio, io, logging, sys, threading, warnings
import aiohttp, pydicom, pynetdicom, structlog
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from gateway.errors import GatewayError, Word

canary = sys.argv[1]
log = structlog.get_logger()

log.info("fine event", count=3)
log.info(f"patient {canary}")
log.info("fine event", source=canary, reason=canary, patient=canary, facts=[canary], passage=canary.encode())
log.info("fine event %s", canary)
log.bind(person=canary).warning("fine event")
try:
    raise ValueError(canary)
except ValueError as cause:
    log.error("fine event", exc_info=True)
    try:
        raise KeyError(canary) from cause
    except KeyError:
        log.exception("fine event")
try:
    raise ExceptionGroup(canary, [RuntimeError(canary), GatewayError("CONFIG_INVALID", line=4)])
except ExceptionGroup as group:
    log.error("fine event", exc_info=group)

for name in ("", "pydicom", "pynetdicom", "pynetdicom.acse", "asyncio", "aiohttp.access", "aiohttp.server", "new"):
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL):
        logging.getLogger(name).log(level, "patient %s", canary)
        logging.getLogger(name).log(level, f"patient {canary}")
    try:
        raise OSError(canary)
    except OSError:
        logging.getLogger(name).exception(canary)
logging.getLogger("broken").warning("%d", canary)  # the original prints the record to standard error

warnings.warn(canary)
warnings.warn(canary, ResourceWarning)
dataset = Dataset()
dataset.PatientID = canary * 20  # pydicom quotes what it does not like
dataset.StudyInstanceUID = canary
buffer = io.BytesIO()
dataset.save_as(buffer, implicit_vr=False, little_endian=True)
pydicom.dcmread(io.BytesIO(buffer.getvalue()), force=True)

thread = threading.Thread(target=lambda: int(canary)); thread.start(); thread.join()

class Dying:
    def __del__(self):
        raise ValueError(canary)
Dying()

async def main():
    async def forgotten():
        raise ValueError(canary)
    task = asyncio.ensure_future(forgotten())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    asyncio.get_running_loop().call_soon(int, canary)
    await asyncio.sleep(0)
    import gc; gc.collect()
asyncio.run(main())
raise SystemError(canary)
"""

CONFIGURE = """
from gateway import logs
logs.configure("DEBUG")
"""


def _output(script: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script, CANARY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 1  # by the exception at the end
    return done.stdout, done.stderr


def test_no_canary_reaches_the_log_at_the_most_verbose_level() -> None:
    stdout, stderr = _output(CONFIGURE + SAY_IT_EVERYWHERE)
    assert "CANARY" not in stdout + stderr
    assert "PETRA" not in stdout + stderr
    assert stdout == ""
    events = [json.loads(line) for line in stderr.splitlines()]  # each is one whole line
    told = {event["event"] for event in events}
    assert {
        *("fine event", "withheld", "library message", "warning of a library", "uncaught"),
        *("uncaught in a thread", "uncaught while cleaning up"),
    } <= told
    assert {"asyncio", "pynetdicom.acse", "new"} <= {event.get("logger") for event in events}
    last = events[-1]["error"][0]
    assert last["kind"] == "builtins.SystemError"
    assert last["places"]


def test_control_without_our_configuration_the_canary_is_everywhere() -> None:
    stdout, stderr = _output(SAY_IT_EVERYWHERE)
    assert (stdout + stderr).count("CANARY") > 20
    assert stderr.splitlines()[-1] == f"SystemError: {CANARY}"


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of methods of `_log`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("_log", "log", "logger")
            and node.func.attr in ("debug", "info", "warning", "error", "critical", "exception", "bind")
        ):
            yield node


def flaws(source: str) -> list[int]:
    """Lines of a module that log something other than a constant event with fields of the allow-list."""
    tree = ast.parse(source)
    if not any(
        isinstance(node, ast.Import) and any(alias.name == "structlog" for alias in node.names)
        for node in ast.walk(tree)
    ):
        return []
    found = []
    for call in _calls(tree):
        event = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        is_bound = isinstance(call.func, ast.Attribute) and call.func.attr == "bind"
        is_constant = (
            isinstance(event, str) and len(call.args) == 1 and logs.is_event(event) if not is_bound else True
        )
        names = {keyword.arg for keyword in call.keywords} - {"exc_info"}
        if not is_constant or None in names or not names <= logs.FIELDS:
            found.append(call.lineno)
    return found


MODULES = [
    path
    for path in sorted((ROOT / "gateway").rglob("*.py"))
    if not path.relative_to(ROOT).as_posix().startswith(APART)
]


def test_every_event_of_the_program_is_a_constant_with_fields_of_the_allow_list() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}" for path in MODULES for line in flaws(path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        '_log.info(f"patient {name}")',
        '_log.info("patient " + name)',
        "_log.info(name)",
        '_log.info("passage", patient=name)',
        '_log.info("passage", **facts)',
        '_log.info("passage %s", name)',
        "_log.bind(patient=name)",
    ],
)
def test_control_an_event_made_from_data_is_found(line: str) -> None:
    assert flaws(f"import structlog\n{line}\n") == [2]
    assert flaws('import structlog\n_log.info("passage", passage=name, exc_info=error)\n') == []
