"""What no key of the configuration can know alone: names that must exist, files, ports, days.

In: a configuration whose keys are each right by themselves. Out: a place and a message for each mistake.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import string
from collections.abc import Hashable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.yaml_lines import Place

if TYPE_CHECKING:
    from gateway.config import TLS, Config

__all__ = ["Finding", "findings", "is_loopback"]

Finding = tuple[Place, str]
"""Where, and what is wrong there."""

TEMPLATE_FIELDS: Final = frozenset({"model", "date"})
"""What a destination's `label` and `description` may have filled in."""

_NEEDS_CERTIFICATE: Final = "needs our certificate, which is given by dicom.tls"
_SHOULD_BE_HTTPS: Final = "should be https:// for an address that is not loopback"


def findings(config: Config, today: date) -> Iterator[Finding]:
    """Every mistake that only shows when keys are looked at together.

    Parameters
    ----------
    config : Config
    today : date
        UTC; waivers that ended before it have expired.
    """
    yield from _names(config)
    yield from _rules(config)
    yield from _addresses(config)
    yield from _links(config)
    yield from _files(config)
    yield from _waivers(config, today)
    if config.limits.instance_bytes > config.limits.memory_bytes:
        yield ("limits", "instance_bytes"), "is more than memory_bytes, so no such instance could be taken"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(config: Config) -> Iterator[Finding]:
    ae_titles = [source.ae_title for source in config.sources]
    for index, first in _repeated(ae_titles):
        message = f"{ae_titles[index]} is sources[{first}] already; give that one every address"
        yield ("sources", index, "ae_title"), message
    names = [destination.name.casefold() for destination in config.destinations]
    for index, first in _repeated(names):
        yield ("destinations", index, "name"), f"{names[index]} is destinations[{first}] already"
    for index, destination in enumerate(config.destinations):
        for key, template in (("label", destination.label), ("description", destination.description)):
            if _fields(template) - TEMPLATE_FIELDS:
                yield ("destinations", index, key), "may have {model} and {date} filled in, nothing else"


def _rules(config: Config) -> Iterator[Finding]:
    destinations = {destination.name for destination in config.destinations}
    sources = {source.ae_title for source in config.sources}
    for index, rule in enumerate(config.rules):
        for position, name in enumerate(rule.deliver_to):
            if name not in destinations:
                yield ("rules", index, "deliver_to", position), f"no destination has the name {name}"
        for position, _ in _repeated(rule.deliver_to):
            yield ("rules", index, "deliver_to", position), "stands twice"
        match = rule.match
        if match.calling_ae_title is not None and match.calling_ae_title not in sources:
            place = ("rules", index, "match", "calling_ae_title")
            yield place, f"no source has the AE title {match.calling_ae_title}, so the rule never matches"
        if match.called_ae_title is not None and match.called_ae_title != config.dicom.ae_title:
            place = ("rules", index, "match", "called_ae_title")
            yield place, f"is not {config.dicom.ae_title}, so the rule never matches"
        if match.min_slices and match.max_slices and match.min_slices > match.max_slices:
            yield (
                ("rules", index, "match", "min_slices"),
                "is more than max_slices, so the rule never matches",
            )


def _addresses(config: Config) -> Iterator[Finding]:
    dicom, console = config.dicom, config.console
    if dicom.port == console.port and _overlap(dicom.host, console.host):
        yield ("console", "port"), f"{console.port} is dicom.port already"
    for index, destination in enumerate(config.destinations):
        if destination.port == dicom.port and _is_ours(destination.host, dicom.host):
            yield ("destinations", index, "port"), "leads back to the gateway itself"
    for index, source in enumerate(config.sources):
        query = source.query
        if query is not None and query.port == dicom.port and _is_ours(query.host, dicom.host):
            yield ("sources", index, "query", "port"), "leads back to the gateway itself"


def _links(config: Config) -> Iterator[Finding]:
    """R20: TLS on every link, or a decision written down."""
    dicom = config.dicom
    has_tls = dicom.tls is not None and dicom.tls != "off"
    if dicom.tls is None and not is_loopback(dicom.host):
        message = (
            f"is missing, and {dicom.host} can be reached from other machines: give certificate_file, key_file and "
            "ca_file, or write `tls: off`, which every report shows"
        )
        yield ("dicom", "tls"), message
    if not has_tls:
        for index, source in enumerate(config.sources):
            if source.certificate_sha256 is not None:
                yield ("sources", index, "certificate_sha256"), "means nothing without dicom.tls"
            if source.query is not None and source.query.tls:
                yield ("sources", index, "query", "tls"), _NEEDS_CERTIFICATE
        for index, destination in enumerate(config.destinations):
            if destination.tls:
                yield ("destinations", index, "tls"), _NEEDS_CERTIFICATE
    contourer = config.contourer
    if contourer.kind == "dicomweb" and _is_in_the_clear(contourer.url):
        yield ("contourer", "url"), _SHOULD_BE_HTTPS
    webhook = config.alarm.webhook_url
    if webhook is not None and _is_in_the_clear(webhook):
        yield ("alarm", "webhook_url"), _SHOULD_BE_HTTPS
    if contourer.kind == "sealed":
        certificate, key = contourer.client_certificate_file, contourer.client_key_file
        if (certificate is None) != (key is None):
            missing = "client_certificate_file" if certificate is None else "client_key_file"
            yield ("contourer", missing), "is missing: the certificate and its key go together"


def _is_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _files(config: Config) -> Iterator[Finding]:
    dicom, contourer = config.dicom, config.contourer
    if dicom.tls is not None and dicom.tls != "off":
        yield from _of_tls(dicom.tls)
    if contourer.kind == "sealed":
        yield from _readable(("contourer", "identity_file"), contourer.identity_file)
        yield from _readable(("contourer", "client_certificate_file"), contourer.client_certificate_file)
        yield from _secret(("contourer", "client_key_file"), contourer.client_key_file)
    elif contourer.kind == "dicomweb":
        yield from _readable(("contourer", "ca_file"), contourer.ca_file)
        yield from _secret(("contourer", "password_file"), contourer.password_file)
    for index, destination in enumerate(config.destinations):
        yield from _readable(("destinations", index, "rois_file"), destination.rois_file)
    for index, profile in enumerate(config.deid.profiles):
        yield from _readable(("deid", "profiles", index), profile)
    if config.state_dir.exists() and not config.state_dir.is_dir():
        yield ("state_dir",), "is not a folder"


def _of_tls(tls: TLS) -> Iterator[Finding]:
    yield from _readable(("dicom", "tls", "certificate_file"), tls.certificate_file)
    yield from _secret(("dicom", "tls", "key_file"), tls.key_file)
    yield from _readable(("dicom", "tls", "ca_file"), tls.ca_file)
    yield from _readable(("dicom", "tls", "crl_file"), tls.crl_file)


def _waivers(config: Config, today: date) -> Iterator[Finding]:
    waivers = config.lockdown.waivers
    for index, waiver in enumerate(waivers):
        if waiver.until < today:
            message = f"the waiver of {waiver.protection} ended on {waiver.until}; remove it or decide anew"
            yield ("lockdown", "waivers", index, "until"), message
    for index, first in _repeated([waiver.protection for waiver in waivers]):
        message = f"{waivers[index].protection} is lockdown.waivers[{first}] already"
        yield ("lockdown", "waivers", index, "protection"), message


def _readable(place: Place, path: Path | None) -> Iterator[Finding]:
    if path is None:
        return
    if not path.is_file():
        yield place, f"{path} is not there" if not path.exists() else f"{path} is not a file"
    elif not os.access(path, os.R_OK):
        yield place, f"{path} cannot be read by this account"


def _secret(place: Place, path: Path | None) -> Iterator[Finding]:
    problems = list(_readable(place, path))
    yield from problems
    if path is not None and not problems and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield place, f"{path} can be read by others than its owner; set its mode to 0600"


def _fields(template: str) -> set[str]:
    """What stands in braces; a lone brace counts as one."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError:
        return {"{"}


def _repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """The index of each value that stood before, and where it stood first."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            yield index, first[value]


def _overlap(one: str, other: str) -> bool:
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound
    return one == other or bool(everywhere & {one, other}) or {one, other} <= {"127.0.0.1", "localhost"}


def _is_ours(host: str, listening: str) -> bool:
    return _overlap(host, listening) and (host == listening or is_loopback(host))
