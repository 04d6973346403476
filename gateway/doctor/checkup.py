"""The checkup: every examination, from outside of a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.config import Config
from gateway.doctor import certificates, clock, machine, peers, state
from gateway.doctor.diagnosis import Diagnosis

__all__ = ["examine"]


def examine(config: Config) -> Iterator[Diagnosis]:
    """Every examination, one after the other.

    Parameters
    ----------
    config : Config

    Returns
    -------
    iterator of Diagnosis
    """
    yield from machine.protections(config)
    yield from machine.memory(config)
    yield from machine.descriptors(config)
    yield from clock.examine(config)
    yield from state.folder(config)
    yield from state.disk_is_fast(config)
    yield from state.key_and_files(config)
    yield from certificates.examine(config)
    yield from asyncio.run(peers.examine(config))
