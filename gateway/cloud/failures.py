"""What goes wrong on the way to a contourer, as errors of ours.

Every exception of aiohttp, ssl and asyncio that a request can raise is mapped here, and every answer that is an
error. A test walks the classes of these libraries and fails when one is missing.
"""

from __future__ import annotations

import json
import ssl
from typing import Final

import aiohttp

from gateway.cloud.protocol import Reason
from gateway.errors import CATALOGUE, ContourerError, ContourerRefused, ContourerUnavailable, Word

__all__ = ["TRANSPORT_ERRORS", "Answered", "failure_of", "failure_of_answer", "refusal_of"]

TRANSPORT_ERRORS: Final = (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError, EOFError)
"""All that a request may raise because of the world, not because of the program."""

_UNTRUSTING_ALERTS: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""The other side ended the handshake because of who or what we are; trying again changes nothing. Any other TLS fault
may be a bit that flipped on the way."""

_BUSY: Final = frozenset({429, 503})
_TRY_AGAIN: Final = frozenset({408, 425})
_LONGEST_PAUSE_S: Final = 3600.0
_FAILED: Final = frozenset(
    {
        Reason.ENGINE_REJECTED,
        Reason.ENGINE_CRASHED,
        Reason.ENGINE_TIMEOUT,
        Reason.SLICE_INVALID,
        Reason.SLICE_UNSEALABLE,
    }
)


class Answered(Exception):
    """The contourer answered with a reason; whoever asked decides what it means."""

    def __init__(self, reason: Reason | None, detail: str = "") -> None:
        super().__init__(reason)
        self.reason: Final = reason
        """Nothing, where it is none of the protocol."""
        self.detail: Final = detail


def _unavailable(why: str) -> ContourerUnavailable:
    return ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word(why))


def failure_of(error: BaseException) -> ContourerError:
    """What a transport error means: worth another try, or not.

    Parameters
    ----------
    error : BaseException
        One of `TRANSPORT_ERRORS`.
    """
    cause: BaseException | None = error
    while cause is not None:  # aiohttp wraps what ssl says
        if isinstance(cause, ssl.SSLCertVerificationError | aiohttp.ServerFingerprintMismatch):
            return ContourerRefused("CONTOURER_UNTRUSTED", reason=Word("certificate"))
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _UNTRUSTING_ALERTS:
            return ContourerRefused("CONTOURER_UNTRUSTED", reason=Word("handshake"))
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return ContourerRefused("CONTOURER_REFUSED", reason=Word("url"))
    if isinstance(error, TimeoutError):
        return _unavailable("timeout")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unavailable("no address")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return _unavailable("closed without an answer")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _unavailable("TLS")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unavailable("no connection")
    return _unavailable("connection lost")


def failure_of_answer(status: int, retry_after: str | None, body: bytes) -> ContourerError | Answered:
    """What an answer that is an error means.

    Parameters
    ----------
    status : int
        HTTP status, not of the class 2xx.
    retry_after : str, optional
        The header; only seconds are honoured (RFC 9110 10.2.3).
    body : bytes
        JSON of the protocol, or whatever a proxy wrote.
    """
    reason, detail = _told(body)
    if status in _BUSY:
        pause_s = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
        return ContourerUnavailable("CONTOURER_BUSY", retry_after_s=min(pause_s, _LONGEST_PAUSE_S))
    if status >= 500 or status in _TRY_AGAIN or status < 200:
        return ContourerUnavailable("CONTOURER_UNREACHABLE", status=status)
    if reason is Reason.DIGEST_MISMATCH:
        return _unavailable("damaged on the way")
    if reason is None:
        return ContourerRefused("CONTOURER_REFUSED", status=status)
    return Answered(reason, detail)


def _told(body: bytes) -> tuple[Reason | None, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(document, dict) or document.get("code") not in Reason.__members__.values():
        return None, ""
    detail = document.get("detail")
    return Reason(document["code"]), detail if isinstance(detail, str) and detail in CATALOGUE else ""


def refusal_of(answered: Answered) -> ContourerRefused:
    """The error for a person, where nothing else can be done about an answer."""
    reason = answered.reason
    if reason is Reason.IDENTIFIERS_FOUND:
        return ContourerRefused("CONTOURER_FOUND_IDENTIFIERS")
    word = Word(answered.detail or (reason.value if reason is not None else "unknown"))
    return ContourerRefused("CONTOURER_FAILED" if reason in _FAILED else "CONTOURER_REFUSED", reason=word)
