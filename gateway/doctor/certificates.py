"""Certificates: how long those that we show are still valid."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.config import Config, SealedContourer
from gateway.doctor.diagnosis import Diagnosis, Finding

__all__ = ["examine"]

SOON_DAYS: Final = 30
CRL_SOON_DAYS: Final = 1
"""A revocation list is renewed every few days; once it has ended, no peer's certificate is taken."""

_UNREADABLE: Final = "cannot be read, or is not PEM"


def examine(config: Config, now: datetime.datetime | None = None) -> Iterator[Diagnosis]:
    """How many days are left.

    Parameters
    ----------
    config : Config
    now : datetime, optional
        Aware; the machine's clock, if left out.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    tls = config.dicom.tls
    if tls is not None and tls != "off":
        yield _left("DICOM certificate", tls.certificate_file, now)
        yield _left("DICOM CA certificate", tls.ca_file, now)
        if tls.crl_file is not None:
            yield _crl_left("DICOM revocation list", tls.crl_file, now)
    contourer = config.contourer
    if isinstance(contourer, SealedContourer) and contourer.client_certificate_file is not None:
        yield _left("contourer certificate", contourer.client_certificate_file, now)


def _left(subject: str, file: Path, now: datetime.datetime) -> Diagnosis:
    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return Diagnosis(Finding.ILL, subject, _UNREADABLE)
    return _until(subject, ends, now, SOON_DAYS)


def _crl_left(subject: str, file: Path, now: datetime.datetime) -> Diagnosis:
    try:
        ends = x509.load_pem_x509_crl(file.read_bytes()).next_update_utc
    except (OSError, ValueError):
        return Diagnosis(Finding.ILL, subject, _UNREADABLE)
    if ends is None:
        return Diagnosis(Finding.WELL, subject, "does not say when the next one comes")
    return _until(subject, ends, now, CRL_SOON_DAYS)


def _until(subject: str, ends: datetime.datetime, now: datetime.datetime, soon_days: int) -> Diagnosis:
    days = (ends - now) / datetime.timedelta(days=1)
    if days < 0:
        return Diagnosis(Finding.ILL, subject, f"ended on {ends:%Y-%m-%d}")
    finding = Finding.WELL if days > soon_days else Finding.CAUTION
    return Diagnosis(finding, subject, f"{days:.0f} days left, until {ends:%Y-%m-%d}")
