"""Pseudonyms: computed, never stored.

A pseudonym is HMAC-SHA256 of the original under a key derived from the clinic key and a scope. The scope is one study
(so the contourer cannot link two studies of a patient) or, where the configuration says so, one patient. The same
original gives the same pseudonym on every worker and after every restart; the way back exists only here, in memory, for
originals that were seen.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from gateway.dicom.instance import Instance
from gateway.vault.keys import ClinicKey

__all__ = ["Pseudonyms", "is_patient_code", "is_pseudonymous_uid", "keyed_digest", "scope_of", "subject_of"]

_CODE_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that reads like a digit, no vowel but A and E to make words of."""
_CODE_DIGITS: Final = 8

_UUID_FIXED_MASK: Final = (0xF << 76) | (0x3 << 62)
_UUID_FIXED_BITS: Final = (0x8 << 76) | (0x2 << 62)
"""Version 8 and the variant of RFC 9562: what makes 128 keyed bits a UUID, as PS3.5 B.2 asks of a 2.25 UID."""


class Pseudonyms:
    """The pseudonyms of one scope.

    Parameters
    ----------
    key : ClinicKey
    scope : bytes
        What the pseudonyms are bound to; see `scope_of`.
    """

    __slots__ = ("_code_mac", "_codes", "_originals", "_uid_mac", "_uids")

    def __init__(self, key: ClinicKey, scope: bytes) -> None:
        self._uid_mac: hmac.HMAC | None = _keyed(key.derive(b"pseudonymous uid", scope))
        self._code_mac: hmac.HMAC | None = _keyed(key.derive(b"patient code", scope))
        self._uids: dict[str, str] = {}
        self._codes: dict[bytes, str] = {}
        self._originals: dict[str, str] = {}

    def uid(self, original: bytes | str) -> str:
        """The pseudonym of a UID: `2.25.` and a keyed UUID (PS3.5 B.2).

        Raises
        ------
        ValueError
            If the original is empty.
        """
        if not isinstance(original, str):
            original = bytes(original).rstrip(b"\0 ").decode("ascii")
        pseudonym = self._uids.get(original)
        if pseudonym is None:
            if not original:
                raise ValueError("an empty UID has no pseudonym")
            number = int.from_bytes(_digest(self._uid_mac, original.encode("ascii"))[:16])
            pseudonym = f"2.25.{number & ~_UUID_FIXED_MASK | _UUID_FIXED_BITS}"
            self._uids[original] = pseudonym
            self._originals[pseudonym] = original
        return pseudonym

    def patient_code(self, patient: bytes) -> str:
        """What the patient is called outside, such as `P-7K3M9QXD`.

        Parameters
        ----------
        patient : bytes
            What tells the patient from every other: see `subject_of`.
        """
        code = self._codes.get(patient)
        if code is None:
            number = int.from_bytes(_digest(self._code_mac, patient)[:8])
            code = "P-" + "".join(_CODE_ALPHABET[number >> 5 * i & 31] for i in range(_CODE_DIGITS))
            self._codes[patient] = code
        return code

    @property
    def originals(self) -> Mapping[str, str]:
        """The original UID of each pseudonym that was asked for; read-only."""
        return MappingProxyType(self._originals)

    def wipe(self) -> None:
        """Forget the originals and the keys; no pseudonym can be computed after it."""
        self._uid_mac = self._code_mac = None
        self._uids = {}
        self._codes = {}
        self._originals = {}

    def __repr__(self) -> str:
        return f"<Pseudonyms of {len(self._uids)} UIDs>"


def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _digest(mac: hmac.HMAC | None, message: bytes) -> bytes:
    """HMAC-SHA256, without giving up the interpreter for a microsecond's work, as `hmac.digest` does."""
    if mac is None:
        raise RuntimeError("the pseudonyms were wiped")
    own = mac.copy()
    own.update(message)
    return own.digest()


def subject_of(instance: Instance) -> bytes:
    """What tells this instance's patient from every other: PatientID and its issuer.

    Where there is no PatientID it is the study, so that two unknown patients are never taken for one.
    """
    patient_id = (instance.raw(0x00100020) or b"").strip(b"\0 ")
    if not patient_id:
        return b"study\0" + instance.study_instance_uid.encode("ascii")
    issuer = (instance.raw(0x00100021) or b"").strip(b"\0 ")
    return b"patient\0" + len(issuer).to_bytes(4) + issuer + patient_id


def scope_of(instance: Instance, linkage: Literal["study", "patient"]) -> bytes:
    """The scope of an instance's pseudonyms.

    Parameters
    ----------
    instance : Instance
    linkage : {"study", "patient"}
        `deid.linkage` of the configuration: with "patient" the contourer can see that two studies are one patient's.
    """
    if linkage == "patient":
        return subject_of(instance)
    return b"study\0" + instance.study_instance_uid.encode("ascii")


def is_pseudonymous_uid(uid: str) -> bool:
    """Whether a UID has the form of a pseudonym: `2.25.` and a version 8 UUID in decimal."""
    digits = uid.removeprefix("2.25.")
    if len(digits) == len(uid) or not digits.isdecimal() or len(digits) > 39 or digits[0] == "0":
        return False
    number = int(digits)
    return number < 2**128 and number & _UUID_FIXED_MASK == _UUID_FIXED_BITS


def is_patient_code(text: str) -> bool:
    """Whether a text has the form of a patient code."""
    return len(text) == 2 + _CODE_DIGITS and text.startswith("P-") and set(text[2:]) <= set(_CODE_ALPHABET)


def keyed_digest(key: ClinicKey, kind: str, value: bytes) -> bytes:
    """A digest that the journal may hold: useless to anyone without the clinic key.

    Parameters
    ----------
    key : ClinicKey
    kind : str
        What the value is; digests of different kinds never match.
    value : bytes

    Returns
    -------
    bytes
        32 bytes.
    """
    return hmac.digest(key.derive(b"journal digest", kind.encode("utf-8")), value, "sha256")
