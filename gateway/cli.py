"""The commands: `gateway COMMAND`.

A command's module is imported when the command is used, not before, so that `gateway --help` answers at once and the
vault's process holds nothing that it does not need. An error becomes one line with its hint, a fault of the program
its place in the code: never a value that the program was working on.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from types import TracebackType
from typing import Any, Final, NamedTuple

import click

from gateway import __version__

EX_CONFIG: Final = 78
"""Exit code of sysexits(3): the configuration or the machine is not fit, so trying again is useless."""
EX_SOFTWARE: Final = 70


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says about it."""

    place: str
    """MODULE:NAME of a click command."""
    summary: str
    """Empty: not listed, for the program's own use."""


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry("gateway.commands.serve:run", "Start the gateway; ends on SIGTERM or Ctrl-C."),
    "check": Entry(
        "gateway.commands.check:check", "Show every mistake of a configuration file, with its line."
    ),
    "demo": Entry(
        "gateway.demo.command:demo", "Send a made patient through a gateway and tell what happens."
    ),
    "passages": Entry("gateway.commands.passages:passages", "List the passages of the running gateway."),
    "release": Entry("gateway.commands.passages:release", "Send a held passage back on its way."),
    "cancel": Entry("gateway.commands.passages:cancel", "End a held passage."),
    "pause": Entry("gateway.commands.passages:pause", "Deliver nothing to a destination for now."),
    "resume": Entry("gateway.commands.passages:resume", "Deliver to a paused destination again."),
    "ready": Entry("gateway.commands.passages:ready", "Say whether the running gateway takes images now."),
    "reload": Entry(
        "gateway.commands.reload:reload", "Have the running gateway read its configuration again."
    ),
    "drain": Entry("gateway.commands.drain:drain", "Stop the running gateway when what it does is done."),
    "ledger": Entry("gateway.clerk.commands:ledger", "Verify the audit ledger."),
    "doctor": Entry("gateway.commands.doctor:doctor", "Examine all that the gateway needs: green or red."),
    "support": Entry(
        "gateway.commands.support:support", "Gather what helps to find a fault, without any identity."
    ),
    "explain": Entry("gateway.commands.explain:explain", "Say what an error code means and what to do."),
    "echo": Entry("gateway.commands.peers:echo", "Ask a DICOM peer for an answer (C-ECHO)."),
    "send": Entry(
        "gateway.commands.peers:send", "Store DICOM files to a peer (C-STORE), to try a connection."
    ),
    "contourer": Entry("gateway.contourer.commands:contourer", "A contourer of our own."),
    "deid": Entry("gateway.deid.commands:deid", "What leaves, under which profile."),
    "version": Entry("gateway.commands.explain:version", "Show the version."),
    "vault": Entry("gateway.commands.serve:vault", ""),
    "clerk": Entry("gateway.commands.serve:clerk", ""),
}


class Commands(click.Group):
    """The group that `COMMANDS` describes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in COMMANDS.items() if entry.summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].place.split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        from gateway.errors import ConfigError, GatewayError

        result: Any = None
        codes: list[int] = []
        try:
            result = super().invoke(ctx)
        except* GatewayError as group:
            for error in leaves(group):
                assert isinstance(error, GatewayError)
                click.echo(f"{error}\n{error.hint}", err=True)
                codes.append(EX_CONFIG if isinstance(error, ConfigError) else 1)
        if codes:
            ctx.exit(max(codes))
        return result


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="contourgate", message="%(prog)s %(version)s")
def gateway() -> None:
    """A DICOM gateway between a radiotherapy department and an auto-contouring service."""


def main() -> None:
    """The command `gateway`."""
    sys.excepthook = tell_fault
    gateway()


def tell_fault(
    kind: type[BaseException], fault: BaseException, trace: TracebackType | None
) -> None:  # the signature of sys.excepthook
    """Say where in the code something went wrong, without the message: it may hold what was worked on."""
    click.echo("A fault of the program. It shows where, not with what values:", err=True)
    for leaf in leaves(fault):
        for frame in traceback.extract_tb(leaf.__traceback__):
            click.echo(f"  {frame.filename}:{frame.lineno} in {frame.name}", err=True)
        click.echo(f"  {type(leaf).__module__}.{type(leaf).__qualname__}", err=True)
    sys.exit(EX_SOFTWARE)


def leaves(error: BaseException) -> list[BaseException]:
    """The errors of a group, at any depth; the error itself, if it is none."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]
