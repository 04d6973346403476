"""Keys that are right by themselves and do not fit together."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "deliver_to: [tps]",
            "deliver_to: [tsp]",
            "7: rules[0].deliver_to[0]: no destination has the name tsp",
        ),
        ("deliver_to: [tps]", "deliver_to: [tps, tps]", "7: rules[0].deliver_to[1]: stands twice"),
        (
            "modality: CT",
            "calling_ae_title: CT1",
            "no source has the AE title CT1, so the rule never matches",
        ),
        ("modality: CT", "called_ae_title: GATE", "is not CONTOURGATE, so the rule never matches"),
        ("modality: CT", "min_slices: 9, max_slices: 8", "is more than max_slices"),
        (
            "name: tps, ",
            "name: tps, label: '{patient}', ",
            "may have {model} and {date} filled in, nothing else",
        ),
        (
            "name: tps, ",
            "name: tps, description: '{', ",
            "may have {model} and {date} filled in, nothing else",
        ),
        ("name: tps, ", "name: tps, tls: true, ", "5: destinations[0].tls: needs our certificate"),
        ("name: tps, ", "name: tps, rois_file: absent.yaml, ", "absent.yaml is not there"),
        ("port: 11113", "port: 11112", "5: destinations[0].port: leads back to the gateway itself"),
        ("port: 8743", "port: 11112", "9: console.port: 11112 is dicom.port already"),
        ("[127.0.0.1]}", "[127.0.0.1], query: {ae_title: A, host: localhost, port: 11112}}", "leads back"),
        ("port: 11112", "port: 11112, host: 0.0.0.0", "1: dicom.tls: is missing, and 0.0.0.0 can be reached"),
        (
            "kind: embedded",
            "kind: dicomweb, url: 'http://10.0.0.1/x'",
            "8: contourer.url: should be https://",
        ),
        ("kind: embedded", "kind: dicomweb, url: 'https://x', ca_file: ca.pem", "ca.pem is not there"),
        (
            "[127.0.0.1]}",
            "[127.0.0.1], query: {ae_title: A, host: 10.0.0.1, port: 104, tls: true}}",
            "3: sources[0].query.tls: needs our certificate",
        ),
        (
            "state_dir: var",
            "alarm: {webhook_url: 'http://10.0.0.1/x'}\nstate_dir: var",
            "10: alarm.webhook_url: should be https://",
        ),
        ("kind: embedded", "kind: sealed, url: 'https://x', identity_file: .", "is not a file"),
        (
            "kind: embedded",
            "kind: sealed, url: 'https://x', identity_file: x, client_key_file: x",
            "8: contourer.client_certificate_file: is missing: the certificate and its key go together",
        ),
        ("state_dir: var", "state_dir: gateway.yaml", "10: state_dir: is not a folder"),
        ("state_dir: var", "state_dir: var\ndeid: {profiles: [a.yaml]}", "11: deid.profiles[0]: "),
        (
            "state_dir: var",
            "state_dir: var\nlimits: {memory_bytes: 67108864, instance_bytes: 67108865}",
            "is more than",
        ),
        ("[127.0.0.1]}", f"[127.0.0.1], certificate_sha256: {'a' * 64}}}", "means nothing without dicom.tls"),
        (
            "state_dir: var",
            "lockdown: {waivers: [{protection: mlock, until: 2020-01-01, reason: test}]}\nstate_dir: var",
            "10: lockdown.waivers[0].until: the waiver of mlock ended on 2020-01-01",
        ),
    ],
)
def test_keys_that_do_not_fit_together_are_told(
    configuration: Any, old: str, new: str, expected: str
) -> None:
    assert any(expected in line for line in configuration.told(old, new))


def test_two_sources_of_one_ae_title_are_a_mistake(configuration: Any) -> None:
    second = "[127.0.0.1]}\n  - {ae_title: PACS, addresses: [10.0.0.1]}"
    [line] = configuration.told("[127.0.0.1]}", second)
    assert line == "4: sources[1].ae_title: PACS is sources[0] already; give that one every address"


def test_two_destinations_of_one_name_are_a_mistake_in_any_case_of_letters(configuration: Any) -> None:
    second = "port: 11113}\n  - {name: TPS, ae_title: TPS2, host: 127.0.0.1, port: 11114}"
    [line] = configuration.told("port: 11113}", second)
    assert line == "6: destinations[1].name: tps is destinations[0] already"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8080", "localhost:8042"])
def test_a_loopback_url_may_be_in_the_clear(configuration: Any, host: str) -> None:
    assert configuration.told("kind: embedded", f"kind: dicomweb, url: 'http://{host}/x'") == []
