"""What becomes of failures that nobody foresaw."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from gateway.console.discretion import Discreet

CANARY = "CANARY^PATIENT"


def fail(error: BaseException) -> None:
    with Discreet():
        raise error


def test_neither_the_answer_nor_the_log_quotes_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(web.HTTPInternalServerError) as answer:
        fail(KeyError(CANARY))
    assert CANARY not in str(answer.value.text)
    assert answer.value.__suppress_context__
    assert CANARY not in caplog.text
    assert "KeyError at " in caplog.text


def test_a_log_of_the_traceback_is_what_the_search_would_find(caplog: pytest.LogCaptureFixture) -> None:
    """The control of the test above."""
    try:
        raise KeyError(CANARY)
    except KeyError:
        logging.getLogger("gateway.console").exception("a request failed")
    assert CANARY in caplog.text


@pytest.mark.parametrize("error", [web.HTTPNotFound(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_an_answer_and_an_end_pass(error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail(error)
