"""A sound configuration file, to change in one place and see what is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import check

SOUND = """\
dicom: {ae_title: CONTOURGATE, port: 11112}
sources:
  - {ae_title: PACS, addresses: [127.0.0.1]}
destinations:
  - {name: tps, ae_title: TPS, host: 127.0.0.1, port: 11113}
rules:
  - {match: {modality: CT}, model: default, deliver_to: [tps]}
contourer: {kind: embedded}
console: {port: 8743}
state_dir: var
clinic_key_file: var/clinic.key
"""


@dataclass(frozen=True)
class ConfigurationFile:
    """A file with one line for each part of the configuration."""

    path: Path
    text: str = SOUND

    def write(self, text: str) -> Path:
        self.path.write_text(text)
        return self.path

    def but(self, old: str, new: str) -> Path:
        """The sound file with one thing changed."""
        assert old in SOUND
        return self.write(SOUND.replace(old, new))

    def told(self, old: str, new: str) -> list[str]:
        """Each mistake of the changed file without its path: `LINE: KEY: MESSAGE`."""
        return [str(mistake).removeprefix(f"{self.path}:") for mistake in check(self.but(old, new))]


@pytest.fixture
def configuration(tmp_path: Path) -> ConfigurationFile:
    file = ConfigurationFile(tmp_path / "gateway.yaml")
    file.write(SOUND)
    return file
