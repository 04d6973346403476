"""The way out: everything of an image that would reach the contourer."""

from __future__ import annotations

from gateway.cloud.payload import Codec, DeidentifiedSlice, pack
from gateway.deid.profile import load_profiles
from gateway.deid.tripwire import Tripwire
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of

__all__ = ["EXPLICIT", "IMPLICIT", "KEY", "PROFILES", "deidentified", "everything", "received"]

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PROFILES = load_profiles()
KEY = ClinicKey(b"k" * 32)


def received(data: bytes, *, implicit: bool = False) -> Instance:
    """What intake makes of an encoded dataset."""
    return parse_instance(data, IMPLICIT if implicit else EXPLICIT, limits=WalkLimits())


def deidentified(instance: Instance) -> DeidentifiedSlice:
    """What the flow makes of it, after the tripwire."""
    slice_ = deidentify(instance, Pseudonyms(KEY, scope_of(instance, "study")), PROFILES[instance.modality])
    Tripwire(PROFILES).check("series", instance, slice_)
    return slice_


def everything(slice_: DeidentifiedSlice) -> bytes:
    """All bytes in which a leak could be: the image as a file, and as what is sealed."""
    return slice_.part10() + pack(slice_, Codec.RAW).to_bytes()
