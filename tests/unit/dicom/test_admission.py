"""Who is let in, in which order the gates stand, and what the refused one is told."""

from __future__ import annotations

import pytest

from gateway.config import Source
from gateway.dicom.admission import Admission, Refusal, normal_address
from gateway.dicom.alerts import AlertKind
from gateway.dicom.negotiation import Rejection, decode_associate_rq
from tests import wire

SOURCES = [
    {"ae_title": "CT1", "addresses": ["10.0.0.1", "2001:db8::/32"], "max_associations": 2},
    {"ae_title": "PACS", "addresses": ["10.0.1.0/24"]},
    {"ae_title": "PACS2", "addresses": ["10.0.1.0/25"]},
]


def admission(**limits: int) -> Admission:
    return Admission(wire.config(sources=SOURCES, limits=limits))


def ask(
    *,
    called: str = "GATEWAY",
    calling: str = "CT1",
    address: str = "10.0.0.1",
    certificate: bool = True,
    of_source: int = 0,
    in_all: int = 0,
    draining: bool = False,
) -> Refusal | None:
    def certificate_matches(source: Source) -> bool:
        assert source.ae_title == calling
        return certificate

    return admission(associations=5).association_refusal(
        decode_associate_rq(wire.associate_rq(called=called, calling=calling)),
        address,
        certificate_matches,
        of_source=lambda ae_title: of_source,
        in_all=in_all,
        draining=draining,
    )


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("10.0.1.77", True),
        ("10.0.2.1", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("127.0.0.1", False),
    ],
)
def test_only_the_addresses_of_sources_are_admitted(address: str, admitted: bool) -> None:
    assert admission().admits_address(address) is admitted


def test_an_address_names_its_source_where_there_is_one() -> None:
    assert admission().source_at("10.0.0.1") == "CT1"
    assert admission().source_at("10.0.1.5") == ""  # two
    assert admission().source_at("10.0.1.200") == "PACS"
    assert admission().source_at("10.9.9.9") == ""


def test_a_known_source_is_let_in() -> None:
    assert ask() is None
    assert ask(calling="PACS", address="10.0.1.9") is None


@pytest.mark.parametrize(
    ("asked", "rejection", "alert"),
    [
        ({"called": "ANY-SCP"}, Rejection.CALLED_AE_TITLE, AlertKind.CALLED_AE_TITLE),
        ({"called": "gateway"}, Rejection.CALLED_AE_TITLE, AlertKind.CALLED_AE_TITLE),
        ({"calling": "CT2"}, Rejection.CALLING_AE_TITLE, AlertKind.CALLING_AE_TITLE),
        ({"calling": "PACS"}, Rejection.CALLING_AE_TITLE, AlertKind.CALLING_ADDRESS),
        ({"certificate": False}, Rejection.CALLING_AE_TITLE, AlertKind.CERTIFICATE_OF_ANOTHER),
        ({"draining": True}, Rejection.CONGESTION, None),
        ({"of_source": 2}, Rejection.LOCAL_LIMIT, AlertKind.TOO_MANY_ASSOCIATIONS),
        ({"in_all": 5}, Rejection.LOCAL_LIMIT, AlertKind.TOO_MANY_ASSOCIATIONS),
    ],
)
def test_each_gate_refuses_for_its_own_reason(
    asked: dict[str, object], rejection: Rejection, alert: AlertKind | None
) -> None:
    refusal = ask(**asked)  # type: ignore[arg-type]
    assert refusal is not None
    assert (refusal.rejection, refusal.alert) == (rejection, alert)


def test_the_gates_stand_in_order() -> None:
    wrong: dict[str, object] = {
        "called": "X",
        "calling": "X",
        "address": "10.0.1.1",
        "certificate": False,
        "draining": True,
        "in_all": 5,
    }
    codes = []
    while True:
        refusal = ask(**wrong)  # type: ignore[arg-type]
        if refusal is None:
            break
        codes.append(refusal.code)
        del wrong[next(iter(wrong))]
    assert codes == [
        "CALLED_AE_TITLE_UNKNOWN",
        "CALLING_AE_TITLE_UNKNOWN",
        "CALLING_ADDRESS_WRONG",
        "CERTIFICATE_OF_ANOTHER",
        "DRAINING",
        "TOO_MANY_ASSOCIATIONS",
    ]


@pytest.mark.parametrize(
    ("from_address", "in_all", "refused"), [(0, 0, False), (2, 5, False), (3, 5, True), (1, 6, True)]
)
def test_connections_are_counted_by_address_and_in_all(from_address: int, in_all: int, refused: bool) -> None:
    refusal = admission(connections_per_address=3, connections=6).connection_refusal(
        from_address=from_address, in_all=in_all
    )
    assert (refusal is not None) is refused


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:0db8::0005", "2001:db8::5"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(address: str, normal: str) -> None:
    assert normal_address(address) == normal
