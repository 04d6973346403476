"""Every exception that a request can raise, and every answer that is an error, becomes a decision."""

from __future__ import annotations

import asyncio
import http.cookies
import json
import socket
import ssl
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.cloud.failures import TRANSPORT_ERRORS, Answered, failure_of, failure_of_answer, refusal_of
from gateway.cloud.protocol import Reason
from gateway.errors import ContourerError, ContourerRefused, ContourerUnavailable

REQUEST = aiohttp.RequestInfo(URL("https://contourer.example/"), "GET", CIMultiDictProxy(CIMultiDict()))
KEY = SimpleNamespace(host="contourer.example", port=443, is_ssl=True, ssl=True)


def ssl_error(kind: type[ssl.SSLError], reason: str) -> ssl.SSLError:
    error = kind(1, f"[SSL: {reason}] something")
    error.reason = reason
    return error


def made(kind: type[BaseException]) -> BaseException:
    """An instance of a class, with the arguments that its constructor wants."""
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(REQUEST, ())
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"\0" * 32, b"\1" * 32, "contourer.example", 443)
    if kind is aiohttp.ClientConnectorCertificateError:
        return kind(KEY, ssl_error(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED"))
    if issubclass(kind, aiohttp.client_exceptions.UnixClientConnectorError):
        return kind("/run/x", KEY, OSError(2, "absent"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(KEY, OSError(111, "refused"))
    if issubclass(kind, aiohttp.InvalidURL):
        return kind("x")
    if issubclass(kind, ssl.SSLError):
        return ssl_error(kind, "BAD_RECORD_MAC")
    return kind()


def classes(*roots: type[BaseException]) -> Iterator[type[BaseException]]:
    """The roots and all that is derived from them, of the libraries below us."""
    for root in roots:
        if root.__module__.split(".")[0] in ("aiohttp", "ssl", "asyncio", "builtins", "socket"):
            yield root
            yield from classes(*root.__subclasses__())


BELOW = sorted(
    set(
        classes(
            aiohttp.ClientError,
            ssl.SSLError,
            ConnectionError,
            TimeoutError,
            socket.gaierror,
            asyncio.IncompleteReadError.__base__,
        )
    ),
    key=lambda kind: kind.__qualname__,
)

NEVER = {
    aiohttp.ServerFingerprintMismatch: "CONTOURER_UNTRUSTED",
    aiohttp.ClientConnectorCertificateError: "CONTOURER_UNTRUSTED",
    ssl.SSLCertVerificationError: "CONTOURER_UNTRUSTED",
    aiohttp.InvalidURL: "CONTOURER_REFUSED",
    aiohttp.InvalidUrlClientError: "CONTOURER_REFUSED",
    aiohttp.NonHttpUrlClientError: "CONTOURER_REFUSED",
    aiohttp.InvalidUrlRedirectClientError: "CONTOURER_REFUSED",
    aiohttp.NonHttpUrlRedirectClientError: "CONTOURER_REFUSED",
}
"""Trying again is useless; everything else is worth another try."""


@pytest.mark.parametrize("kind", BELOW, ids=lambda kind: kind.__qualname__)
def test_every_exception_of_the_libraries_is_mapped(kind: type[BaseException]) -> None:
    if issubclass(kind, asyncio.IncompleteReadError):
        error: BaseException = kind(b"", 1)
    else:
        error = made(kind)
    assert isinstance(error, TRANSPORT_ERRORS), "a request could raise what nobody catches"
    failure = failure_of(error)
    if kind in NEVER:
        assert isinstance(failure, ContourerRefused)
        assert failure.code == NEVER[kind]
    else:
        assert isinstance(failure, ContourerUnavailable)
        assert failure.code == "CONTOURER_UNREACHABLE"


def test_the_walk_over_the_libraries_finds_their_errors() -> None:
    """The control: an empty list would let the test above pass."""
    assert len(BELOW) > 35
    assert {
        aiohttp.ClientPayloadError,
        aiohttp.ServerTimeoutError,
        ssl.SSLEOFError,
        ConnectionResetError,
    } <= set(BELOW)


def test_an_unknown_error_is_not_a_transport_error() -> None:
    for error in (
        ValueError(),
        RuntimeError(),
        KeyError(),
        http.cookies.CookieError(),
        asyncio.CancelledError(),
    ):
        assert not isinstance(error, TRANSPORT_ERRORS)


@pytest.mark.parametrize(
    ("reason", "is_refused"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True),
        ("TLSV1_ALERT_UNKNOWN_CA", True),
        ("TLSV1_ALERT_PROTOCOL_VERSION", True),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", True),
        ("BAD_RECORD_MAC", False),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", False),
        ("SSLV3_ALERT_BAD_RECORD_MAC", False),
        ("WRONG_VERSION_NUMBER", False),
        ("UNEXPECTED_EOF_WHILE_READING", False),
    ],
)
def test_an_alert_about_us_is_final_and_damage_on_the_way_is_not(reason: str, is_refused: bool) -> None:
    wrapped = aiohttp.ClientConnectorSSLError(KEY, ssl_error(ssl.SSLError, reason))
    for error in (ssl_error(ssl.SSLError, reason), wrapped):
        failure = failure_of(error)
        assert isinstance(failure, ContourerRefused) is is_refused


def test_a_cause_below_is_looked_at() -> None:
    error = aiohttp.ClientOSError(1, "x")
    error.__cause__ = ssl_error(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED")
    assert failure_of(error).code == "CONTOURER_UNTRUSTED"


def body(reason: Reason, detail: str = "") -> bytes:
    return json.dumps({"code": reason.value, "hint": "", "detail": detail}).encode()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 599])
def test_a_status_that_passes_is_worth_another_try(status: int) -> None:
    failure = failure_of_answer(status, None, b"<html>a proxy's page</html>")
    assert isinstance(failure, ContourerUnavailable)
    assert failure.code == ("CONTOURER_BUSY" if status in (429, 503) else "CONTOURER_UNREACHABLE")


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 405, 410, 413, 422, 451])
def test_a_status_without_a_reason_of_ours_is_final(status: int) -> None:
    for text in (b"", b"<html>", b'{"code": "made_up"}', b'{"code": 7}', b"[1]", b"null", b"[" * 100_000):
        failure = failure_of_answer(status, None, text)
        assert isinstance(failure, ContourerRefused)
        assert failure.code == "CONTOURER_REFUSED"
        assert failure.facts == {"status": status}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("99999999", 3600.0), ("soon", 0.0), ("-1", 0.0), (None, 0.0), ("١٢", 12.0)],
)
def test_retry_after_is_honoured_within_reason(header: str | None, seconds: float) -> None:
    failure = failure_of_answer(429, header, b"")
    assert isinstance(failure, ContourerUnavailable)
    assert failure.facts["retry_after_s"] == seconds


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.BUSY, Reason.DIGEST_MISMATCH}))
def test_every_reason_of_the_protocol_reaches_whoever_asked(reason: Reason) -> None:
    answered = failure_of_answer(422, None, body(reason))
    assert isinstance(answered, Answered)
    assert answered.reason is reason
    assert isinstance(refusal_of(answered), ContourerRefused)


def test_damage_that_the_contourer_noticed_is_sent_again() -> None:
    assert isinstance(failure_of_answer(422, None, body(Reason.DIGEST_MISMATCH)), ContourerUnavailable)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.IDENTIFIERS_FOUND, "CONTOURER_FOUND_IDENTIFIERS"),
        (Reason.ENGINE_CRASHED, "CONTOURER_FAILED"),
        (Reason.ENGINE_TIMEOUT, "CONTOURER_FAILED"),
        (Reason.ENGINE_REJECTED, "CONTOURER_FAILED"),
        (Reason.SLICE_INVALID, "CONTOURER_FAILED"),
        (Reason.UNKNOWN_MODEL, "CONTOURER_REFUSED"),
        (Reason.KEY_UNSEALABLE, "CONTOURER_REFUSED"),
        (None, "CONTOURER_REFUSED"),
    ],
)
def test_a_refusal_says_who_has_to_act(reason: Reason | None, code: str) -> None:
    assert refusal_of(Answered(reason)).code == code


def test_a_detail_is_shown_only_if_it_is_one_of_our_codes() -> None:
    known = failure_of_answer(422, None, body(Reason.ENGINE_REJECTED, "TOO_FEW_SLICES"))
    made_up = failure_of_answer(422, None, body(Reason.ENGINE_REJECTED, "Invented^Person"))
    assert isinstance(known, Answered)
    assert isinstance(made_up, Answered)
    assert "TOO_FEW_SLICES" in str(refusal_of(known))
    assert "Invented" not in str(refusal_of(made_up))


def test_every_failure_can_be_printed() -> None:
    for kind in BELOW:
        error = kind(b"", 1) if issubclass(kind, asyncio.IncompleteReadError) else made(kind)
        failure = failure_of(error)
        assert isinstance(failure, ContourerError)
        assert "contourer.example" not in str(failure)
