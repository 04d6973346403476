"""Fuzz what reads a stranger's bytes, guided by coverage where atheris is installed.

::

    python -m tests.fuzz [--minutes 5] [--only pdu]         every target, each for its share of the time
    python -m tests.fuzz --only dataset --replay FILE       one input again

Without atheris valid inputs are changed at random. An input that fails is kept where the last line says.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TARGETS = ("pdu", "dataset")
LONGEST_BYTES = 8192
"""Of an input."""
SLOWEST_S = 10
"""An input that takes longer fails."""
MEMORY_MB = 2048


def fuzz(target: str, seconds: float, folder: Path) -> int:
    """Run one target in a process of its own; its exit code."""
    from tests.fuzz import seeds

    corpus, failed = folder / target, folder / f"failed-{target}-"
    seeds.write(seeds.SEEDS[target](), corpus)
    options = [
        str(corpus),
        f"-dict={corpus.with_suffix('.dict')}",
        f"-artifact_prefix={failed}",
        f"-max_total_time={seconds:.0f}",
        f"-max_len={LONGEST_BYTES}",
        f"-timeout={SLOWEST_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        "-use_value_profile=1",
        "-verbosity=1",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.fuzz", "--guided", target, *options]
    return subprocess.run(command, check=False).returncode


def guided(target: str, options: list[str]) -> None:
    """Be libFuzzer; does not return.

    Nothing of the gateway may be imported before: only what is imported here tells its coverage.
    """
    import atheris  # type: ignore[import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["gateway"]):
        fuzz_one = target_of(target)
    atheris.Setup([sys.argv[0], *options], fuzz_one)
    atheris.Fuzz()


def at_random(target: str, seconds: float, folder: Path) -> int:
    """The same without guidance."""
    from tests.fuzz import mutation, seeds

    fuzz_one, number = target_of(target), 0
    for data in mutation.changed(seeds.SEEDS[target](), seconds, seed=0):
        try:
            fuzz_one(data)
        except BaseException:
            (folder / f"failed-{target}-{number}").write_bytes(data)
            raise
        number += 1
    print(f"{target}: {number} inputs, no failure")
    return 0


def target_of(name: str) -> Callable[[bytes], None]:
    """A target by its name."""
    fuzz_one: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.{name}").fuzz_one
    return fuzz_one


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", choices=sorted(TARGETS), action="append")
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--guided", choices=sorted(TARGETS), help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.guided:
        guided(options.guided, rest)
    targets = options.only or list(TARGETS)
    if options.replay:
        for target in targets:
            target_of(target)(options.replay.read_bytes())
        return 0
    run = fuzz if importlib.util.find_spec("atheris") else at_random
    if run is at_random:
        print("atheris is not installed: inputs are changed at random, without guidance")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failed = False
    for target in targets:
        print(f"== {target}", flush=True)
        failed |= run(target, 60 * options.minutes / len(targets), folder) != 0
    kept = sorted(folder.glob("failed-*"))
    print(f"failed; kept in {folder}: {', '.join(path.name for path in kept)}" if failed else "no failure")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
