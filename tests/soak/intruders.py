"""Peers that mean no good: each must be turned away, in its time, and nobody else may notice."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests import wire

FROM = "127.0.0.2"
"""An address of its own, which a source may use: what it takes up there, the senders do not miss."""
AE_TITLE = "INTRUDER"
LIMITS = {"associate_s": 3, "idle_s": 30, "message_s": 60, "rate_window_s": 5}
"""For the gateway: deadlines that an intruder meets while the soak lasts."""
PATIENCE_S = 45.0
"""In which every one of them must have been turned away."""
CROWD = 40


@dataclass(frozen=True, slots=True)
class Intrusion:
    """What was tried, and whether the gateway let go of it."""

    kind: str
    was_turned_away: bool


def garbage(port: int, chance: random.Random) -> bool:
    """Noise instead of an A-ASSOCIATE-RQ."""
    with _connected(port) as connection:
        return _sent(connection, chance.randbytes(chance.randrange(1, 5000))) and _is_closed(connection)


def other_protocol(port: int, chance: random.Random) -> bool:
    """A browser, or a TLS client."""
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + chance.randbytes(300)
    with _connected(port) as connection:
        return _sent(connection, chance.choice((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", hello))) and _is_closed(
            connection
        )


def slow_loris(port: int, chance: random.Random) -> bool:
    """A valid request, five bytes a second."""
    request = wire.associate_rq(called="CONTOURGATE", calling=AE_TITLE)
    with _connected(port) as connection:
        connection.settimeout(0.2)
        for byte in request[: int(5 * PATIENCE_S)]:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1024):
                    return True
    return False


def half_pdu(port: int, chance: random.Random) -> bool:
    """An association, then half of a message and silence."""
    with _connected(port) as connection:
        connection.sendall(wire.associate_rq(called="CONTOURGATE", calling=AE_TITLE))
        if connection.recv(1024)[:1] != b"\2":
            return False
        message = wire.store_message(wire.made_dataset(), fragment_bytes=700)
        return _sent(connection, message[: chance.randrange(10, len(message) - 10)]) and _is_closed(
            connection
        )


def giant(port: int, chance: random.Random) -> bool:
    """A PDU that claims four gigabytes."""
    with _connected(port) as connection:
        start = struct.pack(">BBI", chance.choice((1, 4)), 0, 0xFFFFFFFF)
        return _sent(connection, start + bytes(1000)) and _is_closed(connection)


def unknown_calling(port: int, chance: random.Random) -> bool:
    """An AE title that nobody configured."""
    return _is_rejected(port, called="CONTOURGATE", calling=f"NOBODY{chance.randrange(1000)}")


def unknown_called(port: int, chance: random.Random) -> bool:
    """A gateway of another name."""
    return _is_rejected(port, called=f"ELSEWHERE{chance.randrange(1000)}", calling=AE_TITLE)


def wrong_address(port: int, chance: random.Random) -> bool:
    """A configured AE title from where it is not at home."""
    return _is_rejected(port, called="CONTOURGATE", calling="PACS")


def crowd(port: int, chance: random.Random) -> bool:
    """More connections at once than one address may have, all silent."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(CROWD):
            with contextlib.suppress(OSError):
                connections.append(stack.enter_context(_connected(port)))
        return sum(map(_is_closed, connections)) == len(connections)


KINDS: tuple[Callable[[int, random.Random], bool], ...] = (
    garbage,
    other_protocol,
    slow_loris,
    half_pdu,
    giant,
    unknown_calling,
    unknown_called,
    wrong_address,
    crowd,
)


def intrude(port: int, chance: random.Random) -> Intrusion:
    """Try one of them."""
    kind = chance.choice(KINDS)
    try:
        return Intrusion(kind.__name__, kind(port, chance))
    except ConnectionError:
        return Intrusion(kind.__name__, True)


@contextlib.contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(FROM, 0)) as connection:
        yield connection


def _sent(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    return True


def _is_closed(connection: socket.socket) -> bool:
    """Whether the gateway ends the connection in time, whatever it says before."""
    end = time.monotonic() + PATIENCE_S
    try:
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


def _is_rejected(port: int, *, called: str, calling: str) -> bool:
    with _connected(port) as connection:
        connection.sendall(wire.associate_rq(called=called, calling=calling))
        return connection.recv(1024)[:1] in (b"\3", b"\7", b"")
