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
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

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

_ACCEPTANCE = 0x00


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

    results: Sequence[PresentationContext]
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation]

    @property
    def accepted(self) -> dict[int, Context]:
        """What may be used from now on, by presentation context id."""
        return {
            cx.context_id: Context(str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
            for cx in self.results
            if cx.result == _ACCEPTANCE and cx.context_id is not None
        }


class SupportedContexts:
    """The table above, ready for negotiation.

    Parameters
    ----------
    accept_lossy : bool
        Whether lossily compressed CT and MR images are taken.
    """

    def __init__(self, *, accept_lossy: bool) -> None:
        of_images = [*NATIVE, *LOSSLESS, *RARE, *(LOSSY if accept_lossy else ())]
        preferred = [str(uid) for uid in (*NATIVE, *LOSSLESS, *RARE, *LOSSY)]
        of_others = preferred + [uid for uid in ALL_TRANSFER_SYNTAXES if uid not in preferred]
        self._contexts = [build_context(VERIFICATION, list(NATIVE))]
        for storage in AllStoragePresentationContexts:
            uid = str(storage.abstract_syntax)
            self._contexts.append(build_context(uid, list(of_images if uid in IMAGES else of_others)))
        for context in self._contexts:
            # We are the SCP and nothing else: a proposal to swap the roles is answered with these (PS3.7 D.3.3.4).
            context.scu_role, context.scp_role = True, False

    def negotiate(
        self, proposed: Sequence[PresentationContext], roles: Mapping[UID, tuple[bool, bool]]
    ) -> Negotiated:
        """Answer each context proposed: the first of ours among its transfer syntaxes (PS3.8 section 9.3.3.2).

        Parameters
        ----------
        proposed : sequence of PresentationContext
            Each with an id of its own and at least one transfer syntax.
        roles : mapping of SOP class UID to (SCU role, SCP role)
            As the requestor proposed them for itself.
        """
        results, answers = negotiate_as_acceptor(list(proposed), self._contexts, dict(roles) or None)
        return Negotiated(results, answers)
