"""Requests to a DICOMweb store, and its answers in the DICOM JSON model (PS3.18 annex F), read without trust."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from gateway.cloud.failures import Answered, refusal_of
from gateway.cloud.transport import Answer, Transport
from gateway.errors import ContourerRefused, ContourerUnavailable, Word

__all__ = ["DICOM_JSON", "ask", "looked_up", "refuse_failures", "search", "uid_in"]

DICOM_JSON: Final = {"Accept": "application/dicom+json"}
_LISTING_LIMIT_BYTES: Final = 16 << 20
_FAILED_INSTANCES: Final = "00081198"
_FAILURE_REASON: Final = "00081197"
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)


async def ask(
    transport: Transport,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    limit_bytes: int = _LISTING_LIMIT_BYTES,
) -> Answer:
    try:
        return await transport.request(
            method, path, body=body, headers=headers, query=query, limit_bytes=limit_bytes
        )
    except Answered as answered:  # only by coincidence: a store does not speak our protocol
        raise refusal_of(answered) from None


async def looked_up(orthanc: Transport, uid: str) -> list[str]:
    """What Orthanc calls the series with this UID."""
    answer = await ask(orthanc, "POST", "/tools/lookup", body=uid.encode("ascii"))
    try:
        found = [one["ID"] for one in json.loads(answer.body) if one["Type"] == "Series"]
    except (ValueError, TypeError, KeyError, RecursionError):
        found = [None]
    if not all(isinstance(one, str) and re.fullmatch(r"[0-9a-f-]{1,64}", one) for one in found):
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("answer is not of Orthanc"))
    return found


async def search(transport: Transport, path: str, query: Mapping[str, str]) -> list[Mapping[str, object]]:
    """A QIDO-RS search; nothing found is an empty list."""
    answer = await ask(transport, "GET", path, headers=DICOM_JSON, query=query)
    if not answer.body:
        return []
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("answer is not DICOM JSON"))
    return found


def uid_in(attributes: Mapping[str, object], tag: str) -> str:
    """A UID of the DICOM JSON model (PS3.18 F.2); it becomes part of a path, so nothing else is let through."""
    element = attributes.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    uid = values[0] if isinstance(values, list) and values else None
    if not isinstance(uid, str) or not uid or len(uid) > 64 or set(uid) - set("0123456789."):
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("answer is not DICOM JSON"))
    return uid


def refuse_failures(answer: Answer) -> None:
    """Raise where the store did not take every instance (PS3.18 10.5.3.2)."""
    try:
        told = json.loads(answer.body) if answer.body else {}
        failed = told.get(_FAILED_INSTANCES, {}).get("Value", [])
        reasons = [int(instance[_FAILURE_REASON]["Value"][0]) for instance in failed]
    except (ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError):
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("answer is not DICOM JSON")) from None
    if reasons and all(reason in _OUT_OF_RESOURCES for reason in reasons):
        raise ContourerUnavailable("CONTOURER_BUSY")
    if reasons:
        raise ContourerRefused("CONTOURER_REFUSED", status=reasons[0], instances=len(reasons))
