"""The clinic key: the one secret from which every pseudonym and every keyed digest comes.

It is 32 random bytes in a file of mode 0600 that never leaves the clinic. Nothing is enciphered with it; other keys are
derived from it (HKDF-Expand with SHA-256, RFC 5869 section 2.3), one for each purpose and context.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.errors import ConfigError, Word

__all__ = ["KEY_BYTES", "ClinicKey"]

KEY_BYTES: Final = 32


class ClinicKey:
    """The clinic key in memory.

    Parameters
    ----------
    secret : bytes
        32 uniformly random bytes.

    Raises
    ------
    ConfigError
        CLINIC_KEY_UNFIT, if they are not 32.
    """

    __slots__ = ("__secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise _unfit("length")
        self.__secret = bytes(secret)

    @classmethod
    def load(cls, path: Path) -> ClinicKey:
        """Read the key from its file.

        Raises
        ------
        ConfigError
            CLINIC_KEY_UNFIT, if the file is missing, is no regular file, belongs to another account, is readable by
            others than its owner, or is not 32 bytes long.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise _unfit("missing") from None
        except OSError:
            raise _unfit("unreadable") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _unfit("not a file")
            if status.st_uid != os.geteuid():
                raise _unfit("owner")
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise _unfit("mode")
            secret = os.read(descriptor, KEY_BYTES + 1)
        finally:
            os.close(descriptor)
        return cls(secret)

    @classmethod
    def create(cls, path: Path) -> ClinicKey:
        """Make a new key and its file, which must not exist; its folder must.

        Raises
        ------
        ConfigError
            CLINIC_KEY_UNFIT, if the file exists or cannot be written.
        """
        secret = secrets.token_bytes(KEY_BYTES)
        try:
            descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            try:
                os.fchmod(descriptor, 0o600)  # whatever the umask is
                os.write(descriptor, secret)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _sync_folder(path.parent)
        except FileExistsError:
            raise _unfit("exists") from None
        except OSError:
            raise _unfit("not writable") from None
        return cls(secret)

    def derive(self, label: bytes, context: bytes = b"", length: int = KEY_BYTES) -> bytes:
        """A key for one purpose.

        Parameters
        ----------
        label : bytes
            The purpose, a constant of the caller.
        context : bytes
            What the key is bound to: a study, a passage.
        length : int
            Bytes wanted.
        """
        info = len(label).to_bytes(4) + label + context
        return HKDFExpand(SHA256(), length, info).derive(self.__secret)

    def __repr__(self) -> str:
        return "<ClinicKey>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("the clinic key is not pickled")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unfit(why: str) -> ConfigError:
    return ConfigError("CLINIC_KEY_UNFIT", reason=Word(why))
