"""The words of the protocol are complete and strict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.cloud.protocol import Announcement, ContourerIdentity, Reason, content_digest, digest_in
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.refusal import STATUS


def test_every_reason_has_a_hint_and_a_status() -> None:
    for reason in Reason:
        assert reason.hint.endswith(".")
        assert 400 <= STATUS[reason] < 500


@given(st.binary(max_size=100))
def test_a_content_digest_is_read_back(body: bytes) -> None:
    import hashlib

    assert digest_in(content_digest(body)) == hashlib.sha256(body).digest()
    assert digest_in("sha-512=:AAAA:, " + content_digest(body)) == hashlib.sha256(body).digest()


@given(st.text(max_size=80))
def test_any_other_header_names_no_digest(text: str) -> None:
    assert digest_in(text) is None


@pytest.mark.parametrize("text", ["sha-256=:AAAA:", "sha-256=AAAA", "xsha-256=:" + "A" * 43 + "=:", ""])
def test_a_malformed_digest_is_none(text: str) -> None:
    assert digest_in(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "m", "profile": "p", "retention_s": 59}',
        '{"model": "m", "profile": "p", "retention_s": 86401}',
        '{"model": "", "profile": "p"}',
        '{"model": "m\\n", "profile": "p"}',
        '{"model": "m", "profile": "p", "patient": "x"}',
        "[]",
    ],
)
def test_an_announcement_holds_names_and_a_time_up_to_a_day_and_nothing_else(text: str) -> None:
    """R7."""
    with pytest.raises(ValidationError):
        Announcement.model_validate_json(text)
    Announcement.model_validate_json('{"model": "m", "profile": "p", "retention_s": 86400}')


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("region", "Germany"),
        ("region", "DE\n"),
        ("hpke_public_key", "00"),
        ("receipt_public_key", "zz" * 32),
        ("certificate_sha256", ""),
        ("version", 2),
    ],
)
def test_an_identity_with_a_field_out_of_form_is_refused(field: str, value: object) -> None:
    sound = ContourerKeys.generate("DE").public.model_dump()
    with pytest.raises(ValidationError):
        ContourerIdentity.model_validate({**sound, field: value})
