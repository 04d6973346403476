"""A configuration whose files are in a folder of the test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.config import Config
from gateway.doctor import Diagnosis, Finding


def made_config(folder: Path, **more: object) -> Config:
    return Config.model_validate(
        {
            "dicom": {"ae_title": "GATE", "port": 11112},
            "sources": [{"ae_title": "CTSIM", "addresses": ["127.0.0.1"]}],
            "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": 104}],
            "rules": [{"model": "pelvis", "deliver_to": ["tps"]}],
            "contourer": {"kind": "embedded"},
            "console": {"port": 8080},
            "state_dir": folder / "var",
            "clinic_key_file": folder / "var" / "clinic.key",
            **more,
        }
    )


def findings(diagnoses: Iterable[Diagnosis]) -> dict[str, set[Finding]]:
    """By subject."""
    found: dict[str, set[Finding]] = {}
    for diagnosis in diagnoses:
        found.setdefault(diagnosis.subject, set()).add(diagnosis.finding)
    return found
