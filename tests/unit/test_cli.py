"""The command line: what is listed, how fast, and what is told when something goes wrong."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.errors import ConfigError, GatewayError, PeerError

HEAVY = {"pydicom", "numpy", "pydantic", "aiohttp", "pynetdicom", "rich", "cryptography"}


def test_help_lists_what_people_use_and_nothing_else() -> None:
    output = CliRunner().invoke(cli.gateway, ["--help"]).output
    for name, entry in cli.COMMANDS.items():
        assert (f"\n  {name} " in output) == bool(entry.summary)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_where_the_list_says(name: str) -> None:
    result = CliRunner().invoke(cli.gateway, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: gateway {name}")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, gateway.cli\n"
        "try: gateway.cli.gateway(['--help'])\n"
        "except SystemExit: print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines())
    assert "click" in imported
    assert not imported & HEAVY


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli.gateway, ["contour"]).exit_code == 2


def failing(error: BaseException) -> click.Group:
    @click.command()
    def fail() -> None:
        raise error

    group = cli.Commands("gateway")
    group.get_command = lambda ctx, cmd_name: fail  # type: ignore[method-assign]
    return group


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (PeerError("PEER_UNREACHABLE"), 1),
        (ConfigError("CLINIC_KEY_UNFIT"), 78),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [ConfigError("PORT_IN_USE", port=104)])]), 78),
    ],
)
def test_an_error_is_told_with_its_hint_and_no_traceback(error: Exception, exit_code: int) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == exit_code
    [leaf] = cli.leaves(error)
    assert isinstance(leaf, GatewayError)
    assert result.stderr == f"{leaf}\n{leaf.hint}\n"


def test_a_fault_tells_its_place_and_type_but_not_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise KeyError("DOE^JANE")
        except KeyError as cause:
            raise ValueError("DOE^JANE was born 19700101") from cause
    except ValueError as fault:
        with pytest.raises(SystemExit) as ended:
            cli.tell_fault(ValueError, ExceptionGroup("DOE", [fault]), fault.__traceback__)
    said = capsys.readouterr().err
    assert ended.value.code == 70
    assert "builtins.ValueError" in said
    assert f"{__file__}:" in said
    assert "DOE" not in said
    assert "1970" not in said


def test_the_interpreters_own_way_would_tell_the_message() -> None:
    """The control: without `main` the message is on standard error."""
    told = {}
    for name, entry in (("control", "pass"), ("ours", "cli.gateway = fail; cli.main()")):
        code = f"from gateway import cli\ndef fail(): raise ValueError('DOE^JANE')\n{entry}\nfail()"
        told[name] = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DOE^JANE" in told["control"].stderr
    assert "DOE^JANE" not in told["ours"].stderr
    assert "ValueError" in told["ours"].stderr
    assert told["ours"].returncode == 70
