from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.errors import ConfigError
from gateway.vault.keys import KEY_BYTES, ClinicKey


def reason(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        ClinicKey.load(path)
    assert caught.value.code == "CLINIC_KEY_UNFIT"
    return str(caught.value.facts["reason"])


def key_file(path: Path, content: bytes = bytes(range(32)), mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_that_was_made_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "clinic.key"
    old = os.umask(0o777)
    try:
        made = ClinicKey.create(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == KEY_BYTES
    assert ClinicKey.load(path).derive(b"a") == made.derive(b"a")


def test_two_keys_differ(tmp_path: Path) -> None:
    assert ClinicKey.create(tmp_path / "a").derive(b"x") != ClinicKey.create(tmp_path / "b").derive(b"x")


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = key_file(tmp_path / "clinic.key")
    with pytest.raises(ConfigError) as caught:
        ClinicKey.create(path)
    assert caught.value.facts["reason"] == "exists"
    assert path.read_bytes() == bytes(range(32))


def test_a_key_cannot_be_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        ClinicKey.create(tmp_path / "none" / "clinic.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    assert reason(key_file(tmp_path / "clinic.key", mode=mode)) == "mode"


@pytest.mark.parametrize("length", [0, 31, 33, 4096])
def test_a_key_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    assert reason(key_file(tmp_path / "clinic.key", bytes(length))) == "length"


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path / "none") == "missing"
    assert reason(tmp_path) in ("not a file", "unreadable")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert reason(tmp_path / "pipe") == "not a file"
    (tmp_path / "link").symlink_to(key_file(tmp_path / "clinic.key"))
    assert reason(tmp_path / "link") == "unreadable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_account_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path / "clinic.key")
    os.chown(path, 12345, 12345)
    assert reason(path) == "owner"


def test_derivation_is_hkdf_expand() -> None:
    secret = bytes(range(32))
    info = b"\0\0\0\5label" + b"context"
    expected = HKDFExpand(SHA256(), 64, info).derive(secret)
    assert ClinicKey(secret).derive(b"label", b"context", 64) == expected


def test_label_and_context_do_not_run_together() -> None:
    key = ClinicKey(bytes(32))
    assert key.derive(b"ab", b"c") != key.derive(b"a", b"bc")


def test_the_secret_does_not_show() -> None:
    key = ClinicKey(b"secret-secret-secret-secret-secr")
    assert "secret" not in repr(key) + str(vars(type(key)).get("__dict__", ""))
    with pytest.raises(TypeError):
        pickle.dumps(key)
