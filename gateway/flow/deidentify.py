"""De-identify: a fresh dataset is built from what the profile names; nothing is edited in place.

In: a received instance, the pseudonyms of its study, a proved profile. Out: what may leave, in explicit VR little
endian. Refused, with `DeidentificationError` DEID_NOT_UNDERSTOOD: a value that must leave and is not what it should be.

Stored values are never altered. Bits beyond BitsStored are not part of them (PS3.5 8.1.1) and may carry an overlay, so
they are made what a reader would take them for: zero, or the sign. Whatever follows the last pixel is left behind.
"""

from __future__ import annotations

import numpy as np

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.profile import Profile
from gateway.dicom.instance import Instance
from gateway.errors import DeidentificationError
from gateway.vault.pseudonyms import Pseudonyms

__all__ = ["deidentify", "stored_values"]


def deidentify(instance: Instance, pseudonyms: Pseudonyms, profile: Profile) -> DeidentifiedSlice:
    """Build what may leave of one image.

    Parameters
    ----------
    instance : Instance
    pseudonyms : Pseudonyms
        Of the instance's scope; see `gateway.vault.pseudonyms.scope_of`.
    profile : Profile
        Of the instance's SOP class.

    Returns
    -------
    DeidentifiedSlice
        Its pixels are a view into the instance's bytes wherever they could be taken over untouched.

    Raises
    ------
    DeidentificationError
        DEID_NOT_UNDERSTOOD, with the tag.
    """
    if instance.sop_class_uid != profile.sop_class_uid:
        raise DeidentificationError("DEID_NOT_UNDERSTOOD")
    header = b"".join(
        [step if isinstance(step, bytes) else step(instance, pseudonyms) for step in profile.recipe]
    )
    return DeidentifiedSlice(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=pseudonyms.uid(instance.sop_instance_uid),
        header=header,
        pixels=stored_values(instance),
        rows=instance.rows,
        columns=instance.columns,
        bits_allocated=instance.bits_allocated,
        bits_stored=instance.bits_stored,
        is_signed=instance.is_signed,
    )


def stored_values(instance: Instance) -> memoryview:
    """The pixels with nothing in their unused bits; a view where nothing is."""
    pixels = memoryview(instance.data)[instance.pixel_start : instance.pixel_stop]
    unused = instance.bits_allocated - instance.bits_stored
    if not unused:
        return pixels
    words = np.frombuffer(pixels, dtype="<i2" if instance.is_signed else "<u2")
    top = 1 << (instance.bits_stored - instance.is_signed)
    if int(words.max()) < top and (not instance.is_signed or int(words.min()) >= -top):
        return pixels
    # A left and a right shift: zeros come in for unsigned words, the sign for signed ones.
    return ((words << unused) >> unused).data.cast("B")
