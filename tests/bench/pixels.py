"""How much burned-in text is found, how often clean series are held, and what looking takes.

::

    python -m tests.bench.pixels [--texts 360] [--clean 120] [--split held-out] [--seed 1] [--missed FOLDER]

Made texts (`tests.burned`) over real slices of the sample data: recall by condition over texts that a person could read
at a soft-tissue window, the share of clean series in which text was seen, and the time for 300 slices of 512 by 512.
Clean series are the real ones, turned, mirrored, cut shorter and made noisier.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pydicom
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from gateway.flow.pixel_gate import EARLY
from gateway.pixels.findings import Finding, doubtful, located
from gateway.pixels.reader import Recogniser
from gateway.pixels.sight import Picture, Sight
from gateway.pixels.windows import Rescale
from tests.burned import Burned, Stack, burned, chosen, faces
from tests.conftest import SHARED

SERIES = {
    "thorax 201 x 204": "rt_pairs/ibsi_pat_1/*",
    "thorax 138 x 141": "rt_pairs/ibsi_pat_2/*",
    "head, 4 slices": "ct/ge_private/*",
    "shoulders, 1 slice": "ct/tsuid_matrix/CTImage.dcm_LittleEndianExplicit*",
    "phantom, 2 slices": "rt_pairs/rt_utils_mock/*",
    "wrist MR 256": "mr/dcm4che_MR16/*",
    "checkerboard 64": "rt_pairs/ibsi2_checkerboard_ct/*",
}
ENLARGED = "thorax 512 x 512"


def real(samples: Path, pattern: str) -> tuple[str, Stack]:
    """A series of the sample data: its modality and its values, rescaled, along the axis."""
    found = []
    for path in sorted(samples.glob(pattern)):
        dataset = pydicom.dcmread(path)
        if dataset.Modality in ("CT", "MR"):
            values = dataset.pixel_array * float(dataset.get("RescaleSlope", 1))
            values = values + float(dataset.get("RescaleIntercept", 0))
            found.append((float(dataset.ImagePositionPatient[2]), np.rint(values).astype(np.int16)))
    modality = str(dataset.Modality)
    return modality, np.stack([values for _, values in sorted(found, key=lambda one: one[0])])


def enlarged(stack: Stack, slices: int, random: np.random.Generator) -> Stack:
    """A series as a simulator makes it: 512 by 512, thin slices, their noise."""
    factors = (slices / stack.shape[0], 512 / stack.shape[1], 512 / stack.shape[2])
    smooth = ndimage.zoom(stack.astype(np.float32), factors, order=1)
    for values in smooth:
        values += random.normal(0, 12, values.shape).astype(np.float32)
    made: Stack = np.rint(smooth).astype(np.int16)
    return made


def backgrounds(samples: Path) -> dict[str, tuple[str, Stack]]:
    stacks = {name: real(samples, pattern) for name, pattern in SERIES.items()}
    thorax = stacks["thorax 201 x 204"][1]
    stacks[ENLARGED] = ("CT", enlarged(thorax, 80, np.random.default_rng(0)))
    return stacks


def pictures(modality: str, stack: Stack) -> Iterator[Picture]:
    """What the gate has read, in its order."""
    sight = Sight(modality, Rescale(), stack[0])
    early: list[Picture] = []
    for key, values in enumerate(stack):
        sight.add(key, values)
        if sight.count == EARLY:
            early = sight.standing_still()
    yield from early or sight.standing_still()
    yield from sight.passing()
    yield from sight.single(range(len(stack)), lambda index: stack[index])


def first_text(recogniser: Recogniser, modality: str, stack: Stack) -> list[Finding]:
    window_ = Sight(modality, Rescale(), stack[0])
    for picture in pictures(modality, stack):
        places = recogniser.places(picture.grey)
        if found := located(picture, places):
            return found
        for index in doubtful(picture, places):
            whole = window_.whole(index, stack[index])
            if found := located(whole, recogniser.places(whole.grey)):
                return found
    return []


def window(modality: str, stack: Stack) -> tuple[float, float]:
    if modality == "CT":
        return -160.0, 240.0
    low, high = np.percentile(stack, (1, 99))
    return float(low), float(high)


def is_hit(made: Burned, found: list[Finding]) -> bool:
    """Whether what was found is the text: any hold counts for the patient, but only this one for the recall."""
    left, top, right, bottom = made.box
    return any(
        one.left < right + 4 and one.right > left - 4 and one.top < bottom + 4 and one.bottom > top - 4
        for one in found
    )


def measure_recall(
    recogniser: Recogniser,
    stacks: Mapping[str, tuple[str, Stack]],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    random = np.random.default_rng([arguments.seed, arguments.split == "held-out"])
    all_faces = faces(arguments.split)
    names = [name for name in stacks if name != "checkerboard 64"] + [ENLARGED]
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    total, illegible, number = [0, 0], [0, 0], 0
    while total[1] < arguments.texts:
        name = names[number % len(names)]
        number += 1
        modality, stack = stacks[name]
        text = chosen(random, arguments.split, all_faces, stack.shape)
        made = burned(random, stack, text, *window(modality, stack))
        if made is None:
            continue
        is_found = is_hit(made, first_text(recogniser, modality, made.stack))
        if not made.is_legible:
            illegible[0] += is_found
            illegible[1] += 1
            continue
        total[0] += is_found
        total[1] += 1
        for condition, value in (
            ("background", name),
            ("slices", text.extent),
            ("shade", text.shade),
            ("place", text.place),
            ("letters", text.face.kind),
            ("drawn", "smooth" if text.is_smooth else "hard"),
            ("height", "7-8" if text.height < 9 else "9-12" if text.height < 13 else "13-22"),
        ):
            counts[condition, value][0] += is_found
            counts[condition, value][1] += 1
        if not is_found and arguments.missed:
            keep(arguments.missed, number, name, made, *window(modality, stack))
    table = Table("condition", "value", "texts", "found", "share", title=f"Legible texts, {arguments.split}")
    for (condition, value), (found, of) in sorted(counts.items()):
        table.add_row(condition, value, str(of), str(found), f"{found / of:.3f}")
    table.add_row("all", "", str(total[1]), str(total[0]), f"{total[0] / total[1]:.3f}")
    table.add_row(
        "not legible", "", str(illegible[1]), str(illegible[0]), f"{illegible[0] / max(illegible[1], 1):.3f}"
    )
    console.print(table)


def keep(folder: Path, number: int, name: str, made: Burned, low: float, high: float) -> None:
    """Keep a missed text for looking at."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = np.clip((made.stack[made.slices[0]] - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    text = made.text
    Image.fromarray(shown).save(
        folder
        / f"{number:04}_{name.replace(' ', '')}_{text.extent}_{text.shade}_{text.place}_{text.face.kind}"
        f"_{text.height}_{'smooth' if text.is_smooth else 'hard'}_{made.box[0]}_{made.box[1]}.png"
    )


def clean(stacks: Mapping[str, tuple[str, Stack]], count: int, seed: int) -> Iterator[tuple[str, str, Stack]]:
    """Series without text: as they are first, then altered."""
    for name, (modality, stack) in stacks.items():
        yield name, modality, stack
    random = np.random.default_rng([seed, 99])
    names = list(stacks)
    for number in range(count - len(stacks)):
        name = names[number % len(names)]
        modality, stack = stacks[name]
        if len(stack) > 8:
            start = int(random.integers(0, len(stack) // 2))
            stack = stack[start : start + int(random.integers(5, len(stack) // 2 + 5))]
        stack = np.rot90(stack, int(random.integers(4)), (1, 2))
        stack = stack[:, :, ::-1] if random.random() < 0.5 else stack
        spread = float(np.ptp(np.percentile(stack, (1, 99)))) * random.choice((0, 0.005, 0.02))
        noisy = np.clip(stack + random.normal(0, spread, stack.shape), -32768, 32767)
        yield name, modality, np.ascontiguousarray(np.rint(noisy).astype(np.int16))


def measure_false_alarms(
    recogniser: Recogniser,
    stacks: Mapping[str, tuple[str, Stack]],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for number, (name, modality, stack) in enumerate(clean(stacks, arguments.clean, arguments.seed)):
        found = first_text(recogniser, modality, stack)
        counts[name][0] += bool(found)
        counts[name][1] += 1
        if found:
            console.print(f"false alarm {number} on {name}: {found[0]}")
    table = Table("series", "clean", "held", title="Clean series")
    for name, (held, of) in counts.items():
        table.add_row(name, str(of), str(held))
    held, of = (sum(column) for column in zip(*counts.values(), strict=True))
    table.add_row("all", str(of), f"{held} ({held / of:.1%})")
    console.print(table)


def measure_time(recogniser: Recogniser, stacks: Mapping[str, tuple[str, Stack]], console: Console) -> None:
    """What 300 clean slices take, on one core."""
    stack = enlarged(stacks["thorax 201 x 204"][1], 300, np.random.default_rng(0))
    started, cpu = time.perf_counter(), time.process_time()
    sight = Sight("CT", Rescale(), stack[0])
    for key, values in enumerate(stack):
        sight.add(key, values)
    looked = time.perf_counter(), time.process_time()
    table = Table("300 slices of 512 x 512", "pictures", "wall s", "CPU s")
    table.add_row("looking, slice by slice", "", f"{looked[0] - started:.2f}", f"{looked[1] - cpu:.2f}")
    whole: list[Any] = [0, looked[0] - started, looked[1] - cpu]
    for name, make in (
        ("standing still (while slices arrive)", sight.standing_still),
        ("passing", sight.passing),
        ("single slices", lambda: sight.single(range(len(stack)), lambda index: stack[index])),
    ):
        started, cpu = time.perf_counter(), time.process_time()
        made = make()
        for picture in made:
            recogniser.places(picture.grey)
        taken = time.perf_counter() - started, time.process_time() - cpu
        table.add_row(name, str(len(made)), f"{taken[0]:.2f}", f"{taken[1]:.2f}")
        whole = [whole[0] + len(made), whole[1] + taken[0], whole[2] + taken[1]]
    table.add_row("in all", str(whole[0]), f"{whole[1]:.2f}", f"{whole[2]:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=360, help="legible texts")
    parser.add_argument("--clean", type=int, default=120, help="clean series")
    parser.add_argument("--split", choices=("tuning", "held-out"), default="held-out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--missed", type=Path, help="a folder for pictures of texts that were missed")
    arguments = parser.parse_args()
    console = Console()
    stacks = backgrounds(SHARED / "samples")
    recogniser = Recogniser()
    measure_time(recogniser, stacks, console)
    if arguments.clean:
        measure_false_alarms(recogniser, stacks, arguments, console)
    if arguments.texts:
        measure_recall(recogniser, stacks, arguments, console)


if __name__ == "__main__":
    main()
