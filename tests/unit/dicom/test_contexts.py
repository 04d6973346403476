"""Which presentation contexts are accepted, and with which transfer syntax."""

from __future__ import annotations

import random

import pytest
from pydicom.uid import (
    UID,
    CTImageStorage,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    MRImageStorage,
    RTPlanStorage,
)
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import ModalityWorklistInformationFind, StorageCommitmentPushModel  # type: ignore[attr-defined]

from gateway.dicom.contexts import LOSSLESS, LOSSY, NATIVE, RARE, VERIFICATION, SupportedContexts

ACCEPTED, USER_REJECTION, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 1, 3, 4
CT = str(CTImageStorage)
ALL_LOSSLESS = [str(uid) for uid in (*NATIVE, *LOSSLESS, *RARE)]


def negotiate(
    abstract_syntax: str,
    transfer_syntaxes: list[str],
    *,
    accept_lossy: bool = False,
    roles: dict[UID, tuple[bool, bool]] | None = None,
) -> tuple[int | None, str]:
    context = build_context(abstract_syntax, transfer_syntaxes)
    context.context_id = 1
    results = SupportedContexts(accept_lossy=accept_lossy).negotiate([context], roles or {}).results
    return results[0].result, str(results[0].transfer_syntax[0])


@pytest.mark.parametrize("transfer_syntax", ALL_LOSSLESS)
@pytest.mark.parametrize("abstract_syntax", [CTImageStorage, MRImageStorage])
def test_images_are_taken_in_every_lossless_transfer_syntax(
    abstract_syntax: str, transfer_syntax: str
) -> None:
    assert negotiate(abstract_syntax, [transfer_syntax]) == (ACCEPTED, transfer_syntax)


@pytest.mark.parametrize("transfer_syntax", LOSSY)
def test_lossy_images_are_taken_only_where_that_is_configured(transfer_syntax: str) -> None:
    assert negotiate(CT, [transfer_syntax])[0] == NO_TRANSFER_SYNTAX
    assert negotiate(CT, [transfer_syntax], accept_lossy=True) == (ACCEPTED, transfer_syntax)


def test_the_table_is_what_the_conformance_statement_says() -> None:
    prefix = "1.2.840.10008.1.2"
    assert [
        prefix + suffix for suffix in (".1", "", ".4.80", ".4.70", ".4.57", ".4.90", ".5", ".1.99", ".2")
    ] == ALL_LOSSLESS
    assert [str(uid) for uid in LOSSY] == [f"{prefix}.4.{n}" for n in (81, 91, 50, 51, 53, 55)]


def test_the_first_of_our_preference_is_chosen_whatever_the_order_proposed() -> None:
    proposed = list(ALL_LOSSLESS)
    for preferred in ALL_LOSSLESS:
        random.Random(1).shuffle(proposed)
        assert negotiate(CT, proposed) == (ACCEPTED, preferred)
        proposed.remove(preferred)


def test_lossless_is_preferred_to_lossy() -> None:
    proposed = [*(str(uid) for uid in LOSSY), str(RARE[-1])]
    assert negotiate(CT, proposed, accept_lossy=True)[1] == str(RARE[-1])


@pytest.mark.parametrize("abstract_syntax", [EncapsulatedPDFStorage, RTPlanStorage, EnhancedCTImageStorage])
def test_other_storage_classes_are_negotiated_so_that_the_sender_learns_it_per_instance(
    abstract_syntax: str,
) -> None:
    assert negotiate(abstract_syntax, [str(LOSSY[2])])[0] == ACCEPTED
    contexts = SupportedContexts(accept_lossy=False)
    proposed = build_context(abstract_syntax, [str(NATIVE[0])])
    proposed.context_id = 1
    assert not contexts.negotiate([proposed], {}).accepted[1].stores_images


@pytest.mark.parametrize(
    "abstract_syntax", [StorageCommitmentPushModel, ModalityWorklistInformationFind, "1.2.3.4.5"]
)
def test_everything_else_is_rejected_as_an_abstract_syntax(abstract_syntax: str) -> None:
    assert negotiate(abstract_syntax, [str(NATIVE[0])])[0] == NO_ABSTRACT_SYNTAX


def test_verification_is_accepted() -> None:
    assert negotiate(VERIFICATION, [str(NATIVE[1])]) == (ACCEPTED, str(NATIVE[1]))


@pytest.mark.parametrize(
    ("proposed", "result"),
    [
        ((True, False), ACCEPTED),
        ((True, True), ACCEPTED),
        ((False, True), USER_REJECTION),
        ((False, False), USER_REJECTION),
    ],
)
def test_we_are_scp_only(proposed: tuple[bool, bool], result: int) -> None:
    context = build_context(CT, [str(NATIVE[0])])
    context.context_id = 1
    negotiated = SupportedContexts(accept_lossy=False).negotiate([context], {UID(CT): proposed})
    assert negotiated.results[0].result == result
    for role in negotiated.roles:
        assert (role.scu_role, role.scp_role) == (True, False)
