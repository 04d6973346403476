"""`gateway ledger`: what an auditor asks of the audit ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.commands.options import config_option

if TYPE_CHECKING:
    from gateway.clerk.chain import Fault, Head

__all__ = ["ledger"]

MEANINGS: Final = {
    "line_damaged": "does not fit its checksum",
    "chain_broken": "does not follow the entry before it: altered, removed, added or exchanged",
    "seal_invalid": "carries a signature that is not the vault's",
    "seal_mismatch": "or a later one up to the next signature is not what was signed",
    "truncated": "is missing although it was signed: the file was cut or an older copy put back",
    "head_missing": "would be next, but the file with the last signature is gone",
    "changed_meanwhile": "was the last when somebody else changed the file under the running clerk",
}


@click.group()
def ledger() -> None:
    """The audit ledger: verify it, or show the key that verifies it."""


@ledger.command()
@config_option
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A copy, instead of our own.",
)
@click.option(
    "--key", "keys", multiple=True, metavar="HEX", help="Public key, as `gateway ledger key` shows it."
)
@click.option(
    "--noted", metavar="ENTRIES:HEAD", help="A head from the log, which the ledger must still contain."
)
@click.pass_context
def verify(
    ctx: click.Context, config_file: Path, folder: Path | None, keys: tuple[str, ...], noted: str | None
) -> None:
    """Look for everything that can be wrong with the ledger, and say where. Exit code 1 if anything is.

    With --folder and --key neither a configuration nor the clinic key is needed.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from gateway.clerk.ledger import verify_folder

    if folder is None or not keys:
        own_folder, own_key = _own(config_file)
        folder, keys = folder or own_folder, keys or (own_key,)
    public_keys = [Ed25519PublicKey.from_public_bytes(_hexadecimal(key)) for key in keys]
    verdict = verify_folder(folder, public_keys, _head(noted) if noted else None)
    for fault in verdict.faults:
        click.echo(_told(fault))
    click.echo(f"entries {verdict.head.entries}, signed {verdict.signed_entries}, head {verdict.head.digest}")
    click.echo("faults found" if verdict.faults else "no fault")
    ctx.exit(1 if verdict.faults else 0)


@ledger.command()
@config_option
def key(config_file: Path) -> None:
    """Show the public key that verifies the ledger, in hexadecimal."""
    click.echo(_own(config_file)[1])


def _own(config_file: Path) -> tuple[Path, str]:
    from gateway.config import load
    from gateway.supervisor import CLERK_FOLDER
    from gateway.vault.keys import ClinicKey
    from gateway.vault.ledger_key import ledger_key

    config = load(config_file)
    public = ledger_key(ClinicKey.load(config.clinic_key_file)).public_key()
    return config.state_dir / CLERK_FOLDER, public.public_bytes_raw().hex()


def _told(fault: Fault) -> str:
    known = "; the ledger itself says so" if fault.is_recorded else ""
    return f"entry {fault.entry} ({fault.file}, byte {fault.offset}) {MEANINGS[fault.kind]}{known}"


def _head(noted: str) -> Head:
    from gateway.clerk.chain import Head

    entries, _, digest = noted.partition(":")
    if not entries.isdecimal() or len(_hexadecimal(digest)) != 32:
        raise click.BadParameter("should be ENTRIES:HEAD", param_hint="--noted")
    return Head(int(entries), digest)


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter("should be hexadecimal digits") from None
