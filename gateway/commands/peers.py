"""`gateway echo` and `gateway send`: try a connection from this machine."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.options import config_option

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from gateway.config import Config
    from gateway.dicom.scu import Scu

__all__ = ["Address", "echo", "scu_of", "send"]

_CONTEXTS_AT_MOST = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is."""

    ae_title: str
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


class AddressType(click.ParamType[Address]):
    """AET@HOST:PORT; an IPv6 address in brackets."""

    name = "AET@HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        parts = re.fullmatch(
            r"([^\\\x00-\x1f]{1,16})@(?:\[([0-9A-Fa-f:.]+)\]|([^:@\s]+)):(\d{1,5})", str(value)
        )
        if parts is None or not 0 < int(parts[4]) < 65536:
            self.fail("is not AET@HOST:PORT, such as TPS@10.0.0.5:104", param, ctx)
        return Address(parts[1].strip(), parts[2] or parts[3], int(parts[4]))


def scu_of(config: Config) -> Scu:
    """The node as it calls its peers, with its certificate where it has one."""
    from gateway.dicom.scu import Scu
    from gateway.dicom.tls import client_context

    tls = config.dicom.tls
    return Scu(config.dicom.ae_title, tls=None if tls is None or tls == "off" else client_context(tls))


calling = click.option("--as", "ae_title", default="CONTOURGATE", show_default=True, help="Our AE title.")


@click.command()
@click.argument("peer")
@config_option
@calling
def echo(peer: str, config_file: Path, ae_title: str) -> None:
    """Ask PEER for an answer (C-ECHO): AET@HOST:PORT, or the name of a destination in the configuration."""
    from gateway.config import load
    from gateway.dicom.scu import Scu

    if "@" in peer:
        address = AddressType().convert(peer, None, None)
        scu = Scu(ae_title)
    else:
        config = load(config_file)
        found = next((one for one in config.destinations if one.name == peer), None)
        if found is None:
            raise click.UsageError(f"no destination has the name {peer}; give AET@HOST:PORT otherwise")
        address = Address(found.ae_title, found.host, found.port, found.tls)
        scu = scu_of(config)
    asyncio.run(_echo(scu, address))
    click.echo(f"{address} answers")


async def _echo(scu: Scu, address: Address) -> None:
    try:
        await scu.echo(address)
    finally:
        await scu.close()


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to", "peer", type=AddressType(), required=True, help="AET@HOST:PORT, such as TPS@10.0.0.5:104."
)
@calling
def send(paths: tuple[Path, ...], peer: Address, ae_title: str) -> None:
    """Store the DICOM files at PATHS (files or folders) to a peer over one association, each as it is encoded."""
    from gateway.dicom.scu import Scu

    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    statuses = asyncio.run(_send(Scu(ae_title), peer, [file for file in files if file.is_file()]))
    failed = {
        file: status for file, status in statuses.items() if status is None or status not in (0, 0xB000)
    }
    for file, status in failed.items():
        click.echo(
            f"{file}: " + ("no DICOM file" if status is None else f"refused with {status:#06x}"), err=True
        )
    click.echo(f"{len(statuses) - len(failed)} of {len(statuses)} stored to {peer}")
    if failed:
        click.get_current_context().exit(1)


async def _send(scu: Scu, peer: Address, files: list[Path]) -> dict[Path, int | None]:
    """The status of each file, None where it is no DICOM file."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pynetdicom.presentation import build_context

    encodings: dict[Path, tuple[str, str]] = {}
    statuses: dict[Path, int | None] = dict.fromkeys(files)
    for file in files:
        try:
            meta = dcmread(file, stop_before_pixels=True, specific_tags=[]).file_meta
        except InvalidDicomError:
            continue
        encodings[file] = (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
    wanted = sorted(set(encodings.values()))
    if len(wanted) > _CONTEXTS_AT_MOST:
        raise click.UsageError("the files have more than 128 combinations of SOP class and transfer syntax")

    def store(association: Association) -> None:
        for file in encodings:
            try:
                statuses[file] = association.send_c_store(file).get("Status", 0xC000)
            except ValueError:  # the peer takes no such context
                statuses[file] = 0x0122

    try:
        if wanted:
            contexts = [build_context(*one) for one in wanted]
            await scu.call(peer, contexts, store, deadline_s=3600)
    finally:
        await scu.close()
    return statuses
