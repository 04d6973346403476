"""What the storage SCP takes: SOP classes and transfer syntaxes, in the order of preference, and their negotiation.

==================================  ===========================================  =================================
abstract syntax                     transfer syntaxes                            C-STORE
==================================  ===========================================  =================================
Verification                        `NATIVE`                                     -
CT, MR Image Storage                `NATIVE`, `LOSSLESS`, `RARE`; with           taken
                                    ``dicom.accept_lossy`` also `LOSSY`
any other standard Storage          any standard                                 0x0122, so that the sender learns
                                                                                 it for each instance
anything else (Storage Commitment)  none: "abstract syntax not supported"        -
==================================  ===========================================  =================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

VERIFICATION: Final = "1.2.840.10008.1.1"
"""Verification SOP Class, PS3.4 annex A."""
IMAGES: Final = frozenset({str(CTImageStorage), str(MRImageStorage)})
"""The SOP classes that are taken."""

NATIVE: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Received as they are needed, so they are preferred."""
LOSSLESS: Final = (JPEGLSLossless, JPEGLosslessSV1, JPEGLossless, JPEG2000Lossless, RLELossless)
RARE: Final = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
"""Lossless as well, but more trouble than the ones above."""
LOSSY: Final = (
    JPEGLSNearLossless,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    UID("1.2.840.10008.1.2.4.53"),  # JPEG spectral selection, retired
    UID("1.2.840.10008.1.2.4.55"),  # JPEG full progression, retired
)

_INSIGNIFICANT = str(ImplicitVRLittleEndian)
"""A rejected context names a transfer syntax that nobody looks at (PS3.8 section 9.3.3.2)."""


class Result(IntEnum):
    """Result of a presentation context, PS3.8 table 9-18."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class Proposed(NamedTuple):
    """A presentation context of an A-ASSOCIATE-RQ; the UIDs are whatever bytes the requestor sent."""

    context_id: int
    abstract_syntax: bytes
    transfer_syntaxes: Sequence[bytes]


class Role(NamedTuple):
    """Which roles the requestor is to have for a SOP class (PS3.7 annex D.3.3.4)."""

    scu: bool
    scp: bool


class Answer(NamedTuple):
    """What an A-ASSOCIATE-AC says about one presentation context."""

    context_id: int
    result: Result
    transfer_syntax_uid: str


class Context(NamedTuple):
    """A presentation context that was accepted."""

    abstract_syntax: str
    transfer_syntax_uid: str

    @property
    def stores_images(self) -> bool:
        """Whether C-STORE requests over it can be taken."""
        return self.abstract_syntax in IMAGES


class Negotiated(NamedTuple):
    """The answer to the presentation contexts of an A-ASSOCIATE-RQ."""

    answers: Sequence[Answer]
    """In the order proposed."""
    roles: Mapping[bytes, Role]
    """Of the SOP classes for which roles were proposed and a context was accepted."""
    accepted: Mapping[int, Context]
    """What may be used from now on, by presentation context id."""


class SupportedContexts:
    """The table above, ready for negotiation.

    Negotiation is done on the UIDs' bytes. pynetdicom's, which the tests put beside it, makes and checks an object for
    each UID: reading and answering the 128 contexts that dcmtk's storescu proposes takes it over 35 ms, in which the
    event loop would stand still for every association, and this less than 1 ms.

    Parameters
    ----------
    accept_lossy : bool
        Whether lossily compressed CT and MR images are taken.
    """

    def __init__(self, *, accept_lossy: bool) -> None:
        of_images = [str(uid) for uid in (*NATIVE, *LOSSLESS, *RARE, *(LOSSY if accept_lossy else ()))]
        preferred = [str(uid) for uid in (*NATIVE, *LOSSLESS, *RARE, *LOSSY)]
        of_others = preferred + [uid for uid in ALL_TRANSFER_SYNTAXES if uid not in preferred]
        supported = {VERIFICATION: [str(uid) for uid in NATIVE]}
        for storage in AllStoragePresentationContexts:
            uid = str(storage.abstract_syntax)
            supported[uid] = of_images if uid in IMAGES else of_others
        self._supported: Final = {
            uid.encode(): (uid, {syntax.encode(): rank for rank, syntax in enumerate(syntaxes)})
            for uid, syntaxes in supported.items()
        }

    def negotiate(self, proposed: Sequence[Proposed], roles: Mapping[bytes, Role]) -> Negotiated:
        """Answer each context proposed, with the transfer syntax of it that we like best (PS3.8 section 9.3.3.2).

        We are SCP and nothing else: the requestor can be SCU, and a context for which it will not is rejected.

        Parameters
        ----------
        proposed : sequence of Proposed
            Each with an id of its own.
        roles : mapping of SOP class UID to Role
            As the requestor proposed them for itself.
        """
        answers, accepted, granted = [], {}, {}
        for context_id, abstract_syntax, transfer_syntaxes in proposed:
            name, ranks = self._supported.get(abstract_syntax, ("", {}))
            known = [syntax for syntax in transfer_syntaxes if syntax in ranks]
            role = roles.get(abstract_syntax)
            if not name:
                result = Result.ABSTRACT_SYNTAX_NOT_SUPPORTED
            elif not known:
                result = Result.TRANSFER_SYNTAXES_NOT_SUPPORTED
            elif role is not None and not role.scu:
                result = Result.USER_REJECTION
            else:
                chosen = min(known, key=ranks.__getitem__).decode("ascii")
                accepted[context_id] = Context(name, chosen)
                answers.append(Answer(context_id, Result.ACCEPTANCE, chosen))
                if role is not None:
                    granted[abstract_syntax] = Role(scu=True, scp=False)
                continue
            answers.append(Answer(context_id, result, _INSIGNIFICANT))
        return Negotiated(answers, granted, accepted)
