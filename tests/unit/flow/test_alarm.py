"""What is told of a late passage, and that not being able to tell harms nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gateway import config
from gateway.errors import PassageUnfit
from gateway.flow import alarm as module
from gateway.flow.alarm import Alarm, message
from gateway.passage import Passage, State


def passage() -> Passage:
    one = Passage(source="PACS", called="CONTOURGATE", modality="CT", pseudonym="P-7K3M9QXD")
    one.move(State.HELD, error=PassageUnfit("SEND_AGAIN", slices=7))
    return one


def test_the_message_says_which_where_why_and_since_when() -> None:
    told = message(passage())
    assert set(told) == {"passage", "pseudonym", "source", "state", "code", "since", "started"}
    assert (told["state"], told["code"], told["pseudonym"]) == ("held", "SEND_AGAIN", "P-7K3M9QXD")


def test_a_late_passage_that_nothing_is_wrong_with_is_late() -> None:
    assert message(Passage(source="PACS", called="A", modality="CT"))["code"] == "DEADLINE_PASSED"


async def test_it_is_told_again_until_the_passage_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    one = passage()

    async def is_told(url: str, message: Mapping[str, str]) -> bool:
        told.append(message["state"])
        if len(told) == 3:
            one.move(State.CANCELLED)
        return len(told) != 1  # the first try fails

    monkeypatch.setattr(module, "_is_told", is_told)
    alarm = Alarm(config.Alarm(webhook_url="http://127.0.0.1:1/", repeat_s=0.01), pauses_s=(0.01,))
    async with asyncio.timeout(5):
        await asyncio.gather(alarm.ring(one), alarm.ring(one))  # the second asks for what is told already
    assert len(told) == 3


async def test_nobody_is_told_where_nobody_is_configured() -> None:
    await Alarm(config.Alarm()).ring(passage())
