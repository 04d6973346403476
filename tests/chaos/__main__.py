"""A randomised run: studies of many patients go through a real gateway while everything around it, and it, is killed.

`python -m tests.chaos SEED MINUTES [FOLDER]`. The plan is drawn from the seed and printed. At the end everything is
well for a while; then every study is either at the TPS, right, complete and once, or shown on the console with what a
person should do. The exit code is 1 where one is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

from tests.chaos.judge import ENDED, Account, account, arrived
from tests.chaos.plan import Fault, Plan, Sending
from tests.chaos.senders import Senders
from tests.chaos.world import World, world

SETTLES_S = 900.0
"""How long everything may take to come to its end when nothing is wrong any more."""
STANDS_S = 200.0
"""How long nothing at all may move meanwhile: longer than the longest pause before another try."""
LOOKS_EVERY_S = 5.0
"""How often a person looks at the console."""
SEND_AGAIN = ("SEND_AGAIN", "INCOMPLETE")
"""What a person does something about: the sender is told to send again."""


Step = TypeVar("Step", Sending, Fault)


class Run:
    """One run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._began = time.monotonic()
        self._pseudonyms: dict[int, str] = {}

    async def __call__(self) -> Account:
        """Do what was planned, wait until it has settled, and count."""
        async with (
            world(self._folder, reads_text=self._plan.reads_text) as there,
            asyncio.TaskGroup() as group,
        ):
            self._began = time.monotonic()
            senders = Senders(self._folder / "images", there.links["intake"].port, there.pacs)
            self._pseudonyms = {one.study.number: there.pseudonym(one.study) for one in self._plan.sendings}
            person = group.create_task(self._person(there, senders))
            async with asyncio.TaskGroup() as planned:
                planned.create_task(self._sendings(senders, group))
                planned.create_task(self._faults(there))
            self._say("calm")
            there.calm()
            is_settled = await self._settled(there, senders)
            self._say("settled" if is_settled else "not settled")
            person.cancel()
            passages = await there.passages()
            if passages is None:
                raise RuntimeError("the console does not answer: " + str(there.gateway.log))
            return account(senders.sent, arrived(there.tps.folder), passages, self._pseudonyms)

    async def _sendings(self, senders: Senders, group: asyncio.TaskGroup) -> None:
        async for sending in self._due(self._plan.sendings):
            group.create_task(senders.send(sending))

    async def _faults(self, there: World) -> None:
        async with asyncio.TaskGroup() as group:
            async for fault in self._due(self._plan.faults):
                group.create_task(self._fault(there, fault))

    async def _fault(self, there: World, fault: Fault) -> None:
        self._say(f"{fault.kind}: {fault.target}")
        if not await there.suffer(fault):
            self._say(f"{fault.kind}: {fault.target} was down already")

    async def _due(self, steps: tuple[Step, ...]) -> AsyncIterator[Step]:
        for step in steps:
            await asyncio.sleep(max(0.0, self._began + step.at_s - time.monotonic()))
            yield step

    async def _person(self, there: World, senders: Senders) -> None:
        """Look at the console, and have sent again what is asked for."""
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(LOOKS_EVERY_S)
                held = {
                    passage["pseudonym"]: passage["reason"]["code"]
                    for passage in await there.passages() or ()
                    if passage["state"] == "held"
                }
                for sent in senders.sent:
                    code = held.get(self._pseudonyms[sent.study.number])
                    if code in SEND_AGAIN and not sent.is_busy:
                        sent.is_busy = True
                        group.create_task(senders.send_again(sent, code))

    async def _settled(self, there: World, senders: Senders) -> bool:
        """Wait until nothing moves any more, for as long as that may take."""
        end = time.monotonic() + SETTLES_S
        before, changed_at = "", time.monotonic()
        while time.monotonic() < min(end, changed_at + STANDS_S):
            passages = await there.passages()
            is_settled = passages is not None and not any(one.is_busy for one in senders.sent)
            for passage in passages or ():
                is_asked = passage["state"] == "held" and passage["reason"]["code"] not in SEND_AGAIN
                is_settled &= is_asked or passage["state"] in ENDED
            now = str([(passage["id"], passage["state"]) for passage in passages or ()])
            if now != before:
                before, changed_at = now, time.monotonic()
            elif is_settled and time.monotonic() - changed_at > 2 * LOOKS_EVERY_S:
                return True
            await asyncio.sleep(1)
        return False

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)


def main() -> int:
    seed, minutes = int(sys.argv[1]), float(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan.drawn(seed, minutes)
    print(f"{plan}\n\nin {folder}", flush=True)
    began = time.monotonic()
    told = asyncio.run(Run(plan, folder)())
    print(f"\nseed {seed}, {minutes:g} minutes, {time.monotonic() - began:.0f} s in all\n{told}")
    return 0 if told.is_good else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
