"""What packing a slice costs, and with which codec a series is at the contourer first.

::

    python -m tests.bench.codec [--slices 60] [--rounds 3] [--megabits 10 50 100 1000] [--contour]

The slices are a phantom's, de-identified; its noise is made, so real images pack a little differently (`--file` adds
one). An upload is measured through a proxy that limits each of four connections to a quarter of the rate, from the
first slice to the commit's acknowledgement, with two threads that pack; the codecs take turns within a round and the
median is printed. `--contour` then brings one passage through the embedded contourer with its real engine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pydicom
from rich.console import Console
from rich.table import Table

from gateway.cloud.envelope import ContentKey
from gateway.cloud.payload import Codec, DeidentifiedSlice, SlicePayload, pack, unpack
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.transport import Patience
from gateway.cloud.uplink import codec_for
from gateway.contourer.embedded import EmbeddedContourer
from gateway.deid.profile import load_profiles
from gateway.demo.phantom import Phantom, phantom_series
from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.flow.deidentify import deidentify
from gateway.metrics import Metrics
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made
from tests.contourer_stand import OTHER, PASSAGE, contourer, order, reply_seed
from tests.toxics import Toxics, toxic_proxy

AT_ONCE = 4
PIXELS = 1 << 24


def outgoing(datasets: Sequence[pydicom.Dataset]) -> list[DeidentifiedSlice]:
    """De-identified as the gateway does it."""
    profiles, key = load_profiles(), ClinicKey(bytes(32))
    slices = []
    for dataset in datasets:
        instance = parse_instance(made.encoded(dataset), "1.2.840.10008.1.2.1", limits=WalkLimits())
        pseudonyms = Pseudonyms(key, scope_of(instance, "study"))
        slices.append(deidentify(instance, pseudonyms, profiles[instance.modality]))
    return slices


def milliseconds(what: Callable[[], object], times: int = 15) -> float:
    """Median of CPU time."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        what()
        taken.append(1000 * (time.process_time() - began))
    return statistics.median(taken)


def packing(name: str, slice_: DeidentifiedSlice) -> Table:
    """One slice, by codec."""
    key = ContentKey(PASSAGE)
    table = Table("codec", "bytes", "ratio", "pack ms", "seal ms", "open ms", "unpack ms", title=name)
    for codec in Codec:
        payload = pack(slice_, codec)
        packed = payload.to_bytes()
        sealed = key.seal(0, packed)
        table.add_row(
            payload.codec.name,
            str(len(packed)),
            f"{len(slice_.pixels) / len(payload.coded):.2f}",
            f"{milliseconds(lambda codec=codec: pack(slice_, codec)):.2f}",
            f"{milliseconds(lambda packed=packed: key.seal(0, packed)):.2f}",
            f"{milliseconds(lambda sealed=sealed: key.open(0, sealed)):.2f}",
            f"{milliseconds(lambda payload=payload: unpack(payload, PIXELS)):.2f}",
        )
    return table


async def send(gateway: SealedContourer, slices: Sequence[DeidentifiedSlice], codec: Codec) -> float:
    """Seconds until everything is committed."""
    loop = asyncio.get_running_loop()
    lanes = asyncio.Semaphore(AT_ONCE)
    began = time.monotonic()
    exchange = await gateway.begin(order(PASSAGE))
    with ThreadPoolExecutor(2) as pool:

        async def one(index: int) -> None:
            async with lanes:
                payload: SlicePayload = await loop.run_in_executor(pool, pack, slices[index], codec)
                await exchange.add(index, payload)

        async with asyncio.TaskGroup() as group:
            for index in range(len(slices)):
                group.create_task(one(index))
        await exchange.commit()
    taken = time.monotonic() - began
    await exchange.delete()
    await exchange.close()
    return taken


async def uploading(slices: Sequence[DeidentifiedSlice], megabits: Sequence[int], rounds: int) -> Table:
    """The whole series, by link and codec."""
    table = Table(
        "Mbit/s", *(codec.name for codec in Codec), "chosen", title=f"{len(slices)} slices, seconds"
    )
    patient = Patience(request_s=120)
    async with contourer() as stand, toxic_proxy("127.0.0.1", stand.port) as proxy:
        for rate in megabits:
            proxy.toxics = Toxics(bytes_per_s=rate * 1e6 / 8 / AT_ONCE)
            taken: dict[Codec, list[float]] = {codec: [] for codec in Codec}
            for _ in range(rounds):
                for codec in Codec:
                    async with stand.gateway(
                        url=f"https://127.0.0.1:{proxy.port}", patience=patient
                    ) as gateway:
                        taken[codec].append(await send(gateway, slices, codec))
            row = (f"{statistics.median(times):.2f}" for times in taken.values())
            table.add_row(str(rate), *row, codec_for(rate * 1e6 / 8).name)
    return table


async def contouring(slices: Sequence[DeidentifiedSlice]) -> Table:
    """One passage through the embedded contourer with its engine."""
    table = Table("step", "seconds", title=f"embedded contourer, {len(slices)} slices")
    embedded = EmbeddedContourer(["default"])
    gateway = SealedContourer(embedded.endpoint, reply_seed, Metrics(), companion=embedded)

    def tell(step: str, began: float) -> float:
        table.add_row(step, f"{time.monotonic() - began:.2f}")
        return time.monotonic()

    began = time.monotonic()
    await gateway.start()
    try:
        began = tell("start", began)
        exchange = await gateway.begin(replace(order(OTHER), model="default"))
        for index, slice_ in enumerate(slices):
            await exchange.add(index, pack(slice_, Codec.JPEGXL))
        began = tell("pack, seal and upload, one after the other", began)
        await exchange.commit()
        began = tell("commit", began)
        result = await exchange.result()
        tell(f"guard, unpack, contour, seal: {len(result)} bytes", began)
        await exchange.delete()
    finally:
        await gateway.close()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabits", type=int, nargs="*", default=[10, 50, 100, 1000])
    parser.add_argument("--file", type=Path, action="append", default=[])
    parser.add_argument("--contour", action="store_true")
    arguments = parser.parse_args()
    console = Console()
    slices = outgoing(phantom_series(Phantom(slices=arguments.slices)))
    console.print(packing("phantom, 512 x 512", slices[len(slices) // 2]))
    for path in arguments.file:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.clear()
        console.print(packing(path.name, outgoing([dataset])[0]))
    if arguments.megabits:
        console.print(asyncio.run(uploading(slices, arguments.megabits, arguments.rounds)))
    if arguments.contour:
        console.print(asyncio.run(contouring(slices)))


if __name__ == "__main__":
    main()
