"""What a requestor puts on the wire and reads from it, made with pynetdicom and not with the code under test."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dimse_messages import C_CANCEL_RQ, C_ECHO_RQ, C_FIND_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_STORE
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    ServiceParameter,
)
from pynetdicom.presentation import build_context

from gateway.config import Config

VERIFICATION = "1.2.840.10008.1.1"
CT = str(CTImageStorage)
EXPLICIT_LE = str(ExplicitVRLittleEndian)
SOP_INSTANCE = "1.2.826.0.1.3680043.8.498.7"

ABORT_AS_USER = bytes.fromhex("07000000000400000000")
RELEASE_RQ = bytes.fromhex("05000000000400000000")
RELEASE_RP = bytes.fromhex("06000000000400000000")
ABORT = ABORT_AS_USER


def abort_as_provider(reason: int) -> bytes:
    return bytes.fromhex("070000000004000002") + bytes([reason])


def config(port: int = 11112, **changes: object) -> Config:
    """A configuration for one source, STORESCU on loopback; `changes` replace top-level keys."""
    made: dict[str, object] = {
        "dicom": {"ae_title": "GATEWAY", "port": port},
        "sources": [{"ae_title": "STORESCU", "addresses": ["127.0.0.1"]}],
        "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": 11113}],
        "rules": [{"model": "made", "deliver_to": ["tps"]}],
        "contourer": {"kind": "embedded"},
        "console": {"port": 8080},
        "state_dir": "state",
        "clinic_key_file": "clinic.key",
    }
    return Config.model_validate(made | changes)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def associate_rq(
    contexts: Iterable[tuple[int, str, Sequence[str]]] = (
        (1, CT, (EXPLICIT_LE,)),
        (3, VERIFICATION, (EXPLICIT_LE,)),
    ),
    *,
    called: str = "GATEWAY",
    calling: str = "STORESCU",
    maximum_length: int = 131072,
    more: Sequence[ServiceParameter] = (),
) -> bytes:
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.called_ae_title, request.calling_ae_title = called, calling
    for id_, abstract_syntax, transfer_syntaxes in contexts:
        context = build_context(abstract_syntax, list(transfer_syntaxes))
        context.context_id = id_
        request.presentation_context_definition_list.append(context)
    length = MaximumLengthNotification()
    length.maximum_length_received = maximum_length
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    request.user_information = [length, implementation, *more]
    return A_ASSOCIATE_RQ(request).encode()


def raw_associate_rq(
    items: bytes, *, called: bytes = b"GATEWAY", calling: bytes = b"STORESCU", version: int = 1
) -> bytes:
    """An A-ASSOCIATE-RQ with whatever items, titles and version."""
    body = struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32) + items
    return struct.pack(">BBI", 1, 0, len(body)) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def context_item(
    id_: int, abstract_syntax: bytes = CT.encode(), transfer_syntax: bytes = EXPLICIT_LE.encode()
) -> bytes:
    return item(0x20, bytes([id_, 0, 0, 0]) + item(0x30, abstract_syntax) + item(0x40, transfer_syntax))


APPLICATION_CONTEXT = item(0x10, b"1.2.840.10008.3.1.1.1")
USER_INFORMATION = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3"))


def p_data(context_id: int, control: int, value: bytes) -> bytes:
    """A P-DATA-TF PDU with one PDV."""
    return struct.pack(">BBIIBB", 4, 0, len(value) + 6, len(value) + 2, context_id, control) + value


def echo_rq(message_id: int = 1) -> bytes:
    primitive = C_ECHO()
    primitive.MessageID, primitive.AffectedSOPClassUID = message_id, VERIFICATION
    return _command(C_ECHO_RQ(), primitive)


def store_rq(
    message_id: int = 1, *, sop_class: str = CT, sop_instance: str = SOP_INSTANCE, has_dataset: bool = True
) -> bytes:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = sop_class, sop_instance
    if has_dataset:
        primitive.DataSet = BytesIO(b"\0")
    return _command(C_STORE_RQ(), primitive)


def find_rq(message_id: int = 1) -> bytes:
    primitive = C_FIND()
    primitive.MessageID, primitive.Priority, primitive.AffectedSOPClassUID = message_id, 2, CT
    primitive.Identifier = BytesIO(b"\0")
    return _command(C_FIND_RQ(), primitive)


def cancel_rq(message_id: int = 1) -> bytes:
    primitive = C_CANCEL()
    primitive.MessageIDBeingRespondedTo = message_id
    return _command(C_CANCEL_RQ(), primitive)


def _command(message: C_ECHO_RQ | C_STORE_RQ | C_FIND_RQ | C_CANCEL_RQ, primitive: object) -> bytes:
    message.primitive_to_message(primitive)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    return encoded


def store_message(
    dataset: bytes, message_id: int = 1, *, context_id: int = 1, fragment_bytes: int = 16378, **command: str
) -> bytes:
    """A whole C-STORE-RQ message."""
    parts = [p_data(context_id, 3, store_rq(message_id, **command))]
    starts = range(0, len(dataset), fragment_bytes)
    for start in starts:
        last = 2 if start == starts[-1] else 0
        parts.append(p_data(context_id, last, dataset[start : start + fragment_bytes]))
    return b"".join(parts)


def made_dataset(pixel_bytes: int = 2000) -> bytes:
    """An encoded CT-like dataset of explicit VR little endian; nobody's."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CT, SOP_INSTANCE, "CT"
    dataset.add_new(0x7FE00010, "OW", bytes(index * 7 % 251 for index in range(pixel_bytes)))
    encoded = encode(dataset, False, True)
    assert encoded is not None
    return encoded


def split(received: bytes) -> Iterator[bytes]:
    """The PDUs in what was received."""
    while received:
        size = 6 + int.from_bytes(received[2:6], "big")
        assert len(received) >= size
        yield received[:size]
        received = received[size:]


def read_ac(pdu: bytes) -> A_ASSOCIATE:
    """The A-ASSOCIATE (accept) primitive that pynetdicom makes of a PDU."""
    decoded = A_ASSOCIATE_AC()
    decoded.decode(pdu)
    return decoded.to_primitive()


def read_response(*pdus: bytes) -> Dataset:
    """The command set that pydicom makes of P-DATA-TF PDUs."""
    encoded = b""
    for pdu in pdus:
        assert pdu[0] == 4
        encoded += pdu[12:]
    assert pdus[-1][11] == 3
    return decode(BytesIO(encoded), True, True)
