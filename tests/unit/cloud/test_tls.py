"""Certificates live in memory and belong to their keys."""

from __future__ import annotations

import ssl

import pytest

from gateway.cloud.tls import Certificate, client_context, fingerprint, server_context


def test_a_certificate_is_loaded_without_a_file() -> None:
    certificate = Certificate.self_signed("clinic")
    certificate.check()
    assert certificate.sha256 == fingerprint(ssl.PEM_cert_to_DER_cert(certificate.certificate.decode()))
    assert server_context(certificate, []).minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(certificate).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_server_with_clients_asks_for_a_certificate() -> None:
    certificate = Certificate.self_signed("contourer")
    assert server_context(certificate, [certificate.certificate]).verify_mode is ssl.CERT_REQUIRED


def test_a_key_of_another_certificate_is_noticed() -> None:
    one, other = Certificate.self_signed("one"), Certificate.self_signed("other")
    for broken in (
        Certificate(one.certificate, other.key),
        Certificate(b"x", b"y"),
        Certificate(one.certificate, b""),
    ):
        with pytest.raises(ValueError, match="not a certificate with its key"):
            broken.check()


def test_a_repr_does_not_show_the_key() -> None:
    assert "PRIVATE" not in repr(Certificate.self_signed("clinic"))
