"""Each mistake of one key is told with its line, its key and the reason."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("port: 11112", "port: 11112, hots: x", "1: dicom.hots: is not a key here; did you mean host?"),
        ("kind: embedded", "kind: embedded, x: 1", "8: contourer.x: is not a key here; there are: kind"),
        (
            "kind: embedded",
            "kind: embeded",
            "8: contourer.kind: should be one of 'embedded', 'sealed', 'dicomweb'",
        ),
        (
            "kind: embedded",
            "url: x",
            "8: contourer.kind: is missing: embedded or sealed or dicomweb",
        ),
        ("console: {port: 8743}\n", "", "1: console: is missing"),
        ("port: 8743", "host: localhost", "9: console.port: is missing"),
        (
            "port: 8743",
            "port: '8743'",
            "9: console.port: should be a valid integer, not a text; quotes make it one",
        ),
        ("port: 8743", "port: 87430", "9: console.port: should be less than or equal to 65535"),
        ("port: 8743", "port: 8743, host: 10.0.0.1", "9: console: the console has no sign-in yet"),
        (
            "ae_title: TPS",
            "ae_title: ON",
            '5: destinations[0].ae_title: YAML reads ON as a truth value; write "ON"',
        ),
        (
            "ae_title: TPS",
            "ae_title: 010",
            '5: destinations[0].ae_title: YAML reads 010 as a number; write "010"',
        ),
        ("ae_title: TPS", "ae_title: 2026-01-01", "YAML reads 2026-01-01 as a date"),
        ("ae_title: TPS", "ae_title: ", "5: destinations[0].ae_title: has no value"),
        ("ae_title: TPS", "ae_title: AE-TITLE-TOO-LONG", "an AE title has 1 to 16"),
        ("ae_title: TPS", 'ae_title: "TPS\\nX"', "an AE title has 1 to 16"),
        ("[127.0.0.1]", "127.0.0.1", "3: sources[0].addresses: should be a list"),
        ("[127.0.0.1]", "[127.0.0.300]", "3: sources[0].addresses[0]: '127.0.0.300' does not appear"),
        ("[127.0.0.1]", "[]", "3: sources[0].addresses: needs at least one entry"),
        ("modality: CT", "modality: CR", "7: rules[0].match.modality: should be 'CT' or 'MR'"),
        (
            "modality: CT",
            "series_description: '('",
            "rules[0].match.series_description: is not a regular expression",
        ),
        ("name: tps", "name: the tps", "5: destinations[0].name: should look like"),
        ("state_dir: var", "passage: 3\nstate_dir: var", "10: passage: should be a block of keys"),
        (
            "state_dir: var",
            "passage: {deadline_s: .inf}\nstate_dir: var",
            "passage.deadline_s: should be a finite",
        ),
        (
            "state_dir: var",
            "passage: {deadline_s: yes}\nstate_dir: var",
            "passage.deadline_s: should be a valid number",
        ),
        ("port: 11112", "port: 11112, tls: on", "1: dicom.tls: should be a block of keys"),
        (
            "port: 11112",
            "port: 11112, tls: {crlfile: x}",
            "1: dicom.tls.crlfile: is not a key here; did you mean crl_file?",
        ),
        ("console:", "console: {port: 1}\nconsole:", "10: console: stands twice; the first is on line 9"),
    ],
)
def test_a_mistake_is_told_with_line_key_and_reason(
    configuration: Any, old: str, new: str, expected: str
) -> None:
    assert any(expected in line for line in configuration.told(old, new))


def test_an_entry_with_a_mistake_still_counts_as_an_entry(configuration: Any) -> None:
    assert configuration.told("name: tps", "name: 1")[0].startswith("5: destinations[0].name: YAML reads 1")
