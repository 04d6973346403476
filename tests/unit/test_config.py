"""The configuration: what is loaded, and that the shipped file documents every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config import TLS, Config, check, load
from gateway.config_words import models_in
from gateway.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "conf" / "gateway.yaml"


def test_a_sound_file_is_loaded_with_its_defaults(configuration: Any) -> None:
    config = load(configuration.path)
    assert config.dicom.host == "127.0.0.1"
    assert config.passage.quiet_time_s == 5
    assert config.rules[0].deliver_to == ("tps",)


def test_relative_paths_are_taken_from_the_folder_of_the_file(configuration: Any) -> None:
    file = configuration.but("var/clinic.key", "/etc/clinic.key")
    config = load(file)
    assert config.state_dir == file.parent / "var"
    assert config.clinic_key_file == Path("/etc/clinic.key")


def test_a_loaded_configuration_does_not_change(configuration: Any) -> None:
    config = load(configuration.path)
    with pytest.raises(ValueError, match="frozen"):
        config.dicom.port = 1  # type: ignore[misc]


def test_loading_a_file_with_mistakes_names_their_number_and_the_first_line(configuration: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        load(configuration.but("port: 8743", "port: 0"))
    assert raised.value.code == "CONFIG_INVALID"
    assert raised.value.facts == {"mistakes": 1, "first_on_line": 9}


@pytest.mark.parametrize("call", [load, check])
def test_a_file_that_is_not_there_is_unreadable(call: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CONFIG_UNREADABLE"):
        call(tmp_path / "absent.yaml")


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines(configuration: Any) -> None:
    text = configuration.text.replace("port: 11112", "prt: 11112").replace("8743", "0").replace("CT}", "CR}")
    lines = [mistake.line for mistake in check(configuration.write(text))]
    assert lines == [1, 1, 7, 9]


@pytest.mark.parametrize("word", ["off", "OFF", "'off'", "false"])
def test_tls_can_be_off_knowingly_on_every_address_however_yaml_reads_the_word(
    configuration: Any, word: str
) -> None:
    file = configuration.but("port: 11112", f"port: 11112, host: 0.0.0.0, tls: {word}")
    assert load(file).dicom.tls == "off"


def test_tls_takes_its_files_when_the_key_is_its_owners_alone(configuration: Any, tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).touch(0o600)
    tls = "tls: {certificate_file: c.pem, key_file: k.pem, ca_file: ca.pem}"
    file = configuration.but("port: 11112", f"port: 11112, host: 0.0.0.0, {tls}")
    config = load(file)
    assert isinstance(config.dicom.tls, TLS)
    assert config.dicom.tls.key_file == tmp_path / "k.pem"

    (tmp_path / "k.pem").chmod(0o640)
    [mistake] = check(file)
    assert (mistake.line, mistake.key) == (1, "dicom.tls.key_file")
    assert mistake.message.endswith("can be read by others than its owner; set its mode to 0600")


def test_the_shipped_file_starts_as_it_is() -> None:
    assert check(SHIPPED) == []
    assert load(SHIPPED).contourer.kind == "embedded"


def keys_of(
    model: type[BaseModel], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in model.model_fields.items():
        yield (*place, name), field
        for inner in models_in(field.annotation):
            yield from keys_of(inner, (*place, name))


def documented(text: str) -> set[tuple[str, ...]]:
    """The place of each key in the file, commented ones included, told by the indentation."""
    places, above = set(), list[tuple[int, str]]()
    for line in text.splitlines():
        key = re.match(r"^( *)(# ?)?( *)((?:- )?)([a-z_0-9]+):(?: |$)", line)
        if key:
            depth = sum(len(part or "") for part in key.groups()[:4]) - (2 if key[2] else 0)
            above = [*(entry for entry in above if entry[0] < depth), (depth, key[5])]
            places.add(tuple(name for _, name in above))
    return places


def test_the_shipped_file_documents_every_key() -> None:
    there = documented(SHIPPED.read_text())
    expected = {place for place, _ in keys_of(Config)}
    assert expected <= there, sorted(expected - there)
    assert ("lockdown", "waivers", "no_such_key") not in there


def test_the_shipped_file_shows_the_defaults() -> None:
    shown: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    for place, field in keys_of(Config):
        value: Any = shown
        for part in place:
            value = value.get(part) if isinstance(value, dict) else None
            value = value[0] if isinstance(value, list) and value else value
        has_default = not field.is_required() and field.default is not None
        if has_default and value is not None and not isinstance(value, dict | list):
            assert value == field.default, ".".join(place)
