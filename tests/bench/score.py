"""What a de-identification is worth by the ten actions of the MIDI-B benchmark: ours beside four others, in one run.

::

    python -m tests.bench.score [--seed 1] [--leaks]

Invented identifiers are put into copies of real CT and MR images and of pydicom's own test files; an answer key says
what must happen to each (`tests.bench.score_places`). The benchmark's images and its key are not used: the scores are
not those of its ranking. A score is the share of the lines of the key that the output meets, by action and over all
lines. A leak is a place whose identifier stands anywhere in the output, plain, backwards, in hexadecimal or in base64.
`changes nothing` and `empties all` are no tools but controls: the run fails if the scorer does not see through them.

Ours is an allow-list for contouring. It drops what the benchmark wants retained and empties dates instead of shifting
them; those lines count as failures like any other, and are listed a second time as what follows from the design.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from rich.console import Console
from rich.table import Table

from gateway.deid import declared
from gateway.deid.profile import Profile, load_profiles
from tests.bench.score_judge import IDENTIFYING, Verdict, judged
from tests.bench.score_key import Action, Expectation, Injector, Sample
from tests.bench.score_tools import CONTROLS, PEERS, Tool, ours, with_text, written
from tests.conftest import SHARED, SYSTEM_PROGRAMS

OURS, OURS_LINKED = "ours", "ours, linked"
REAL = (
    # Pattern below the samples, how many, invented patient, whether a text is burned in.
    ("rt_pairs/ibsi_pat_2/DCM_IMG_0001*", 3, 0, False),
    ("mr/dcm4che_MR16/MR0*", 2, 0, False),
    ("ct/ge_private/0*", 2, 1, False),
    ("rt_pairs/ibsi_pat_1/DCM_IMG_0002*", 2, 1, True),
)
OF_PYDICOM = (("CT_small.dcm", 2, False), ("MR_small.dcm", 2, False))
DROPPED, EMPTIED, OUTSIDE, UNLINKED, OTHER = (
    "not on the allow-list",
    "on it, and always sent empty",
    "on it, and the value is outside the range that may leave",
    "deid.linkage is study: studies of one patient are not linked",
    "FOR NO REASON OF THE DESIGN",
)


def corpus(samples: Path, seed: int) -> list[Sample]:
    """The images with identifiers in them; without the sample data, pydicom's alone."""
    injector = Injector(seed)
    made: list[Sample] = []
    for pattern, count, patient, text in REAL:
        paths = sorted(samples.glob(pattern))[:count]
        if paths:
            made += injector.series([pydicom.dcmread(path) for path in paths], patient, text=text)
    for name, patient, text in OF_PYDICOM:
        made += injector.series([_of_pydicom(name)], patient, text=text)
    return made


def _of_pydicom(name: str) -> FileDataset:
    return pydicom.dcmread(str(get_testdata_file(name, download=False)))


def by_design(sample: Sample, one: Expectation, profiles: dict[str, Profile], linkage: str) -> str:
    """Why our profile fails a line of the key; `OTHER` where the profile is no reason."""
    if one.action is Action.PATIENT_ID_CONSISTENT and linkage == "study":
        return UNLINKED
    if one.action in (Action.TEXT_REMOVED, Action.PIXELS_HIDDEN, Action.PIXELS_RETAINED):
        return OTHER
    keyword = one.path[0]
    if keyword == "file_meta":
        return OTHER
    listed = {attribute.keyword: attribute for attribute in profiles[sample.dataset.Modality].attributes}
    attribute = listed.get(str(keyword)) if len(one.path) == 1 else None
    if attribute is None:
        return DROPPED
    if attribute.action is declared.Action.EMPTY:
        return EMPTIED
    if attribute.bounds is not None and one.action is Action.TEXT_RETAINED:
        low, high = attribute.bounds
        if any(not low <= float(number) <= high for number in one.text.split("\\")):
            return OUTSIDE
    return OTHER


def scores(verdicts: dict[str, Verdict | None]) -> Table:
    """The table of shares, a row for each action."""
    table = Table("action", "lines", *verdicts, title="Lines of the answer key that are met")
    asked = next(verdict.asked for verdict in verdicts.values() if verdict)
    for action in Action:
        cells = [_share(one, action) for one in verdicts.values()]
        table.add_row(action.value, str(asked[action]), *cells)
    table.add_section()
    cells = [_share(one, *Action) for one in verdicts.values()]
    table.add_row("all", str(asked.total()), *cells)
    table.add_section()
    places = next(verdict.places for verdict in verdicts.values() if verdict)
    table.add_row("identifiers leaked", str(places), *[_count(one, "leaks") for one in verdicts.values()])
    table.add_row("files not let out", "", *[_count(one, "without_output") for one in verdicts.values()])
    return table


def _share(verdict: Verdict | None, *actions: Action) -> str:
    if verdict is None:
        return "absent"
    asked = sum(verdict.asked[action] for action in actions)
    return f"{sum(verdict.met[action] for action in actions) / asked:.1%}" if asked else "none"


def _count(verdict: Verdict | None, what: str) -> str:
    if verdict is None:
        return "absent"
    return str(len(verdict.leaks) if what == "leaks" else verdict.without_output)


def reasons(samples: Sequence[Sample], verdicts: dict[str, Verdict | None]) -> Table:
    """Every line that ours does not meet, by action and reason."""
    table = Table("", "action", "lines", "reason", "attributes", title="What ours does not meet, and why")
    profiles = load_profiles()
    for name, linkage in ((OURS, "study"), (OURS_LINKED, "patient")):
        verdict = verdicts[name]
        assert verdict is not None
        lines: Counter[tuple[Action, str]] = Counter()
        where: dict[tuple[Action, str], dict[str, None]] = {}
        for number, one in verdict.failures:
            row = one.action, by_design(samples[number], one, profiles, linkage)
            lines[row] += 1
            where.setdefault(row, {})[_place(one)] = None
        other = sum(count for (_, reason), count in lines.items() if reason == OTHER)
        asked, failed = verdict.asked.total(), lines.total()
        summary = (
            f"of {asked} lines {asked - failed} met, {failed - other} failed by design, {other} otherwise"
        )
        table.add_row(name, "all", str(failed), summary, "")
        for row in sorted(lines):
            table.add_row(name, row[0].value, str(lines[row]), row[1], ", ".join(where[row]))
        table.add_section()
    return table


def _place(one: Expectation) -> str:
    return "/".join(f"private {step[0]:04X}" if isinstance(step, tuple) else str(step) for step in one.path)


def check_controls(verdicts: dict[str, Verdict]) -> None:
    """The scorer must see through a tool that changes nothing and one that empties everything.

    Raises
    ------
    SystemExit
        If it does not: then no number of this run means anything.
    """
    nothing, empty = verdicts["changes nothing"], verdicts["empties all"]
    removing = (*IDENTIFYING, Action.PIXELS_HIDDEN)
    retaining = (Action.TEXT_NOT_NULL, Action.TEXT_RETAINED, Action.PIXELS_RETAINED)
    if any(nothing.met[action] for action in removing) or len(nothing.leaks) != nothing.places:
        raise SystemExit("the scorer takes a file that was not changed for de-identified")
    if any(empty.met[action] for action in retaining):
        raise SystemExit("the scorer takes an empty file for one with its values retained")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leaks", action="store_true", help="also print in which places each tool leaks")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM_PROGRAMS))

    console = Console(width=None if os.isatty(1) else 170)
    samples = corpus(SHARED / "samples", arguments.seed)
    contents = [written(sample.dataset) for sample in samples]
    held = with_text(contents)
    tools: dict[str, Tool | None] = {
        OURS: functools.partial(ours, held=held, linkage="study"),
        OURS_LINKED: functools.partial(ours, held=held, linkage="patient"),
        **PEERS,
        **CONTROLS,
    }
    verdicts: dict[str, Verdict | None] = {}
    for name, tool in tools.items():
        started = time.perf_counter()
        verdicts[name] = None if tool is None else judged(samples, tool(contents))
        console.print(f"{name}: {'absent' if tool is None else f'{time.perf_counter() - started:.1f} s'}")
    check_controls({name: verdict for name in CONTROLS if (verdict := verdicts[name])})

    series = len({sample.series for sample in samples})
    console.print(f"{len(samples)} files, {series} series, {len({one.patient for one in samples})} patients")
    console.print(scores(verdicts))
    console.print(f"{OURS_LINKED}: with deid.linkage set to patient. Text in pixels: ours holds the series.")
    console.print(
        "UID and patient id consistent: one stands for one throughout; what changes nothing meets that too."
    )
    console.print(reasons(samples, verdicts))
    if arguments.leaks:
        for name, verdict in verdicts.items():
            places = Counter(_place(one) for _, one in verdict.leaks) if verdict else Counter()
            console.print(name, ", ".join(f"{place} {count}" for place, count in sorted(places.items())))


if __name__ == "__main__":
    main()
