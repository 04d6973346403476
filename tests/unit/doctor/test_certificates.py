"""What the doctor says of certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.doctor import Finding, certificates
from tests.pki import Authority
from tests.unit.doctor.made_site import findings, made_config


@pytest.mark.parametrize(
    ("days", "finding"), [(300, Finding.WELL), (10, Finding.CAUTION), (-0.5, Finding.ILL)]
)
def test_the_days_left_are_told(tmp_path: Path, days: float, finding: Finding) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.issue("GATE", ends_in_days=days)
    tls = {"certificate_file": certificate, "key_file": key, "ca_file": authority.ca_file}
    config = made_config(tmp_path, dicom={"ae_title": "GATE", "port": 104, "tls": tls})
    found = findings(certificates.examine(config))
    assert found["DICOM certificate"] == {finding}
    assert found["DICOM CA certificate"] == {Finding.WELL}


@pytest.mark.parametrize(
    ("days", "finding"), [(7, Finding.WELL), (0.5, Finding.CAUTION), (-0.5, Finding.ILL), (None, Finding.ILL)]
)
def test_the_end_of_the_revocation_list_is_told(tmp_path: Path, days: float | None, finding: Finding) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.issue("GATE")
    crl = authority.revoke("GATE", ends_in_days=days or 7)
    if days is None:
        crl.write_text("nonsense")
    tls = {
        "certificate_file": certificate,
        "key_file": key,
        "ca_file": authority.ca_file,
        "crl_file": crl,
    }
    config = made_config(tmp_path, dicom={"ae_title": "GATE", "port": 104, "tls": tls})
    assert findings(certificates.examine(config))["DICOM revocation list"] == {finding}


def test_the_contourers_client_certificate_is_looked_at_and_a_broken_one_is_ill(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path / "pki").issue("gateway")
    contourer = {
        "kind": "sealed",
        "url": "https://contourer.example",
        "identity_file": tmp_path / "identity",
        "client_certificate_file": certificate,
        "client_key_file": key,
    }
    config = made_config(tmp_path, contourer=contourer)
    assert findings(certificates.examine(config))["contourer certificate"] == {Finding.WELL}
    certificate.write_text("nonsense")
    assert findings(certificates.examine(config))["contourer certificate"] == {Finding.ILL}


def test_without_tls_there_is_none(tmp_path: Path) -> None:
    assert list(certificates.examine(made_config(tmp_path))) == []
