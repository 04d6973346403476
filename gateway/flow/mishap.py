"""Mishap: a fault of this program in the work on one series holds that series, and stops nothing else.

In: an exception that nobody foresaw. Out: `PassageUnfit` PROGRAM_FAULT, which says where in the program it happened and
never what the exception says: that could hold a value of the dataset.
"""

from __future__ import annotations

import traceback

import structlog

from gateway.errors import PassageUnfit, Word

_log = structlog.get_logger()


def mishap(fault: Exception, passage_id: str) -> PassageUnfit:
    """Log a fault and make of it what holds the passage.

    Parameters
    ----------
    fault : Exception
        Nothing of it is kept: its frames hold the dataset.
    passage_id : str
    """
    places = [
        f"{frame.f_globals.get('__name__', '')}:{line}"
        for frame, line in traceback.walk_tb(fault.__traceback__)
    ]
    own = [place for place in places if place.startswith("gateway.")]
    where = Word.known((own or places or ["unknown"])[-1]) or Word("unknown")
    error = PassageUnfit(
        "PROGRAM_FAULT", kind=Word.known(type(fault).__name__) or Word("unknown"), where=where
    )
    _log.error("mishap", passage=passage_id, reason=error.code, facts=error)
    return error
