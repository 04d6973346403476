"""Four programs that store a series, and what they were answered for each instance.

dcmtk's storescu and dcmsend, pynetdicom, and a sender that writes to the socket as fast as it takes it. Each can break
off in the middle: the programs are killed, pynetdicom aborts, the last one resets the connection within a PDU.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import uid
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from tests import wire
from tests.soak.plan import Shipment

DEADLINE_S = 300
_OPTIONS = {
    uid.ExplicitVRLittleEndian: "-xe",
    uid.ImplicitVRLittleEndian: "-xi",
    uid.ExplicitVRBigEndian: "-xb",
    uid.DeflatedExplicitVRLittleEndian: "-xd",
    uid.RLELossless: "-xr",
    uid.JPEGLosslessSV1: "-xs",
    uid.JPEGLSLossless: "-xt",
    uid.JPEG2000Lossless: "-xv",
}
_RESPONSE = re.compile(r"Received (?:C-STORE|Store) Response \(([^)]*)\)")


@dataclass(slots=True)
class Answers:
    """What became of a shipment, as its sender saw it."""

    sent: int = 0
    accepted: set[int] = field(default_factory=set)
    """Indices of the instances that were answered with success."""
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """What the sender met that it should not have."""

    def take(self, index: int, status: int) -> None:
        """Note the answer to one instance."""
        self.sent += 1
        if status == 0:
            self.accepted.add(index)
        else:
            self.refused[f"status {status:04X}"] += 1


Send = Callable[[Shipment, Sequence[Path], int, int | None], Answers]
"""Of a shipment, its files, a port, and the instances after which to break off."""


def storescu(shipment: Shipment, paths: Sequence[Path], port: int, breaks_after: int | None) -> Answers:
    """dcmtk's storescu, which is killed to break off."""
    command = ["storescu", "-v", "-aet", "PACS", "-aec", "CONTOURGATE", "-R", _OPTIONS[shipment.syntax], "-nh",
               "127.0.0.1", str(port), *map(str, paths)]  # fmt: skip
    return _program(command, len(paths), breaks_after)


def dcmsend(shipment: Shipment, paths: Sequence[Path], port: int, breaks_after: int | None) -> Answers:
    """dcmtk's dcmsend, which is killed to break off."""
    command = ["dcmsend", "-v", "-aet", "PACS", "-aec", "CONTOURGATE", "--decompress-never", "-nh",
               "127.0.0.1", str(port), *map(str, paths)]  # fmt: skip
    return _program(command, len(paths), breaks_after)


def _program(command: Sequence[str], count: int, breaks_after: int | None) -> Answers:
    answers = Answers()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TCP_NODELAY": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if told := _RESPONSE.search(line):
                # It stores in the order of its arguments.
                answers.take(answers.sent, 0 if told[1].startswith("Success") else 0xFFFF)
            elif line.startswith(("E:", "F:")) and breaks_after is None:
                answers.failures.append(line.strip())
            if breaks_after is not None and answers.sent >= breaks_after:
                process.kill()
                break
        process.wait(DEADLINE_S)
    if breaks_after is None and answers.sent != count:
        answers.failures.append(f"{command[0]} sent {answers.sent} of {count}")
    return answers


def by_pynetdicom(shipment: Shipment, paths: Sequence[Path], port: int, breaks_after: int | None) -> Answers:
    """pynetdicom, which aborts to break off."""
    answers = Answers()
    ae = AE("PACS")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = DEADLINE_S
    association = ae.associate(
        "127.0.0.1",
        port,
        [build_context(shipment.sop_class_uid, shipment.syntax)],
        ae_title="CONTOURGATE",
        evt_handlers=[(evt.EVT_ESTABLISHED, _park)],
    )
    if not association.is_established:
        answers.failures.append("pynetdicom got no association")
        return answers
    for index, path in enumerate(paths):
        if index == breaks_after:
            break
        status = association.send_c_store(path)
        if "Status" not in status:
            answers.failures.append("pynetdicom got no answer")
            break
        answers.take(index, int(status.Status))
    reactor = association._reactor_checkpoint
    assert isinstance(reactor, _Parked)
    reactor.is_kept = False
    if breaks_after is None:
        association.release()
    else:
        association.abort()
    return answers


class _Parked(threading.Event):
    """Keeps pynetdicom's reactor still between two messages, where it would take a response for a request."""

    is_kept = True

    def set(self) -> None:
        if not self.is_kept:
            super().set()


def _park(event: evt.Event) -> None:
    event.assoc._reactor_checkpoint = _Parked()


def blast(shipment: Shipment, paths: Sequence[Path], port: int, breaks_after: int | None) -> Answers:
    """A bare socket, with instances in between that must be refused; breaks off within a PDU, by a reset."""
    answers = Answers()
    faulty = shipment.faulty if breaks_after is None else 0
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            wire.associate_rq(
                [(1, shipment.sop_class_uid, (shipment.syntax,))], called="CONTOURGATE", calling="PACS"
            )
        )
        if read_pdu(connection)[0] != 2:
            answers.failures.append("the blasting sender got no association")
            return answers
        for index, path in enumerate(paths):
            message = wire.store_message(
                _dataset(path),
                index % 60000,
                sop_class=shipment.sop_class_uid,
                sop_instance=shipment.instance_uid(index),
                fragment_bytes=131072 - 6,
            )
            if index == breaks_after:
                connection.sendall(message[: len(message) // 2])
                reset(connection)
                return answers
            connection.sendall(message)
            answers.take(index, int(wire.read_response(read_pdu(connection)).Status))
            if index < faulty:
                connection.sendall(wire.store_message(message[-900:], 60001, sop_instance=f"1.2.{index}"))
                status = int(wire.read_response(read_pdu(connection)).Status)
                answers.take(-1, status)
                if status == 0:
                    answers.failures.append("noise was accepted")
        connection.sendall(wire.RELEASE_RQ)
        read_pdu(connection)
    return answers


def _dataset(path: Path) -> bytes:
    """What follows the file meta information, whose length (0002,0000) tells."""
    encoded = path.read_bytes()
    (length,) = struct.unpack_from("<L", encoded, 132 + 8)
    return encoded[132 + 12 + length :]


def read_pdu(connection: socket.socket) -> bytes:
    """The next PDU."""
    pdu = b""
    while len(pdu) < 6 or len(pdu) < 6 + int.from_bytes(pdu[2:6], "big"):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the gateway closed the connection")
        pdu += part
    return pdu


def reset(connection: socket.socket) -> None:
    """Vanish with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


SEND: dict[str, Send] = {
    "storescu": storescu,
    "dcmsend": dcmsend,
    "pynetdicom": by_pynetdicom,
    "blast": blast,
}
