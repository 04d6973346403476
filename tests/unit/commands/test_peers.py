"""How a peer is written on the command line; calls to real ones are in tests/peers."""

from __future__ import annotations

import pytest
from click import BadParameter
from click.testing import CliRunner

from gateway.commands.peers import Address, AddressType, echo


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("TPS@10.0.0.5:104", Address("TPS", "10.0.0.5", 104)),
        ("ECLIPSE DB@tps.clinic:11112", Address("ECLIPSE DB", "tps.clinic", 11112)),
        ("TPS@[::1]:104", Address("TPS", "::1", 104)),
    ],
)
def test_an_address_names_the_ae_title_the_host_and_the_port(text: str, address: Address) -> None:
    assert AddressType().convert(text, None, None) == address


@pytest.mark.parametrize(
    "text",
    [
        "TPS",
        "TPS@host",
        "@host:1",
        "TPS@host:0",
        "TPS@host:65536",
        "SEVENTEEN-LETTERS@h:1",
        "A\\B@h:1",
        "T@::1:1",
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(BadParameter):
        AddressType().convert(text, None, None)


def test_a_name_must_be_a_destinations(configuration: object) -> None:
    result = CliRunner().invoke(echo, ["nobody", "-c", str(configuration.path)])  # type: ignore[attr-defined]
    assert result.exit_code == 2
    assert "no destination has the name nobody" in result.stderr
