"""Which presentation contexts are accepted, and with which transfer syntax."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    CTImageStorage,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    MRImageStorage,
    RTPlanStorage,
)
from pynetdicom.presentation import build_context, negotiate_as_acceptor
from pynetdicom.sop_class import ModalityWorklistInformationFind, StorageCommitmentPushModel  # type: ignore[attr-defined]

from gateway.dicom.contexts import (
    LOSSLESS,
    LOSSY,
    NATIVE,
    RARE,
    VERIFICATION,
    Proposed,
    Role,
    SupportedContexts,
)

ACCEPTED, USER_REJECTION, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 1, 3, 4
CT = str(CTImageStorage)
ALL_LOSSLESS = [str(uid) for uid in (*NATIVE, *LOSSLESS, *RARE)]


def propose(context_id: int, abstract_syntax: str, transfer_syntaxes: list[str]) -> Proposed:
    return Proposed(context_id, abstract_syntax.encode(), [syntax.encode() for syntax in transfer_syntaxes])


def negotiate(
    abstract_syntax: str,
    transfer_syntaxes: list[str],
    *,
    accept_lossy: bool = False,
) -> tuple[int, str]:
    proposed = propose(1, abstract_syntax, transfer_syntaxes)
    (answer,) = SupportedContexts(accept_lossy=accept_lossy).negotiate([proposed], {}).answers
    return answer.result, answer.transfer_syntax_uid


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
    proposed = propose(1, abstract_syntax, [str(NATIVE[0])])
    assert not SupportedContexts(accept_lossy=False).negotiate([proposed], {}).accepted[1].stores_images


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
    context = propose(1, CT, [str(NATIVE[0])])
    negotiated = SupportedContexts(accept_lossy=False).negotiate([context], {CT.encode(): Role(*proposed)})
    assert negotiated.answers[0].result == result
    assert negotiated.roles == ({CT.encode(): Role(True, False)} if result == ACCEPTED else {})


SYNTAXES = [*ALL_LOSSLESS, *(str(uid) for uid in LOSSY), "1.2.3.4"]
ABSTRACT = [
    CT,
    str(MRImageStorage),
    VERIFICATION,
    str(RTPlanStorage),
    str(StorageCommitmentPushModel),
    "1.2.3",
]
CONTEXTS = st.lists(
    st.tuples(st.sampled_from(ABSTRACT), st.lists(st.sampled_from(SYNTAXES), min_size=1, unique=True)),
    max_size=8,
)
ROLES = st.dictionaries(st.sampled_from(ABSTRACT), st.tuples(st.booleans(), st.booleans()))


@given(contexts=CONTEXTS, roles=ROLES, accept_lossy=st.booleans())
def test_pynetdicom_negotiates_the_same(
    contexts: list[tuple[str, list[str]]], roles: dict[str, tuple[bool, bool]], accept_lossy: bool
) -> None:
    taken = ALL_LOSSLESS + ([str(uid) for uid in LOSSY] if accept_lossy else [])
    supported = [build_context(CT, taken), build_context(MRImageStorage, taken)]
    supported.append(build_context(VERIFICATION, [str(uid) for uid in NATIVE]))
    supported.append(build_context(RTPlanStorage, [*ALL_LOSSLESS, *(str(uid) for uid in LOSSY)]))
    requested = []
    for number, (abstract_syntax, syntaxes) in enumerate(contexts):
        requested.append(build_context(abstract_syntax, syntaxes))
        requested[-1].context_id = 2 * number + 1
    for context in supported:
        context.scu_role, context.scp_role = True, False
    theirs, their_roles = negotiate_as_acceptor(
        requested, supported, {UID(uid): role for uid, role in roles.items()} or None
    )
    ours = SupportedContexts(accept_lossy=accept_lossy).negotiate(
        [propose(2 * number + 1, *context) for number, context in enumerate(contexts)],
        {uid.encode(): Role(*role) for uid, role in roles.items()},
    )
    assert [(a.context_id, a.result) for a in ours.answers] == [(cx.context_id, cx.result) for cx in theirs]
    assert {id_: context.transfer_syntax_uid for id_, context in ours.accepted.items()} == {
        cx.context_id: cx.transfer_syntax[0] for cx in theirs if cx.result == ACCEPTED
    }
    assert {uid.decode(): tuple(role) for uid, role in ours.roles.items()} == {
        role.sop_class_uid: (role.scu_role, role.scp_role) for role in their_roles
    }
