"""Which requests the console answers."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.console.guard import REQUEST_HEADER, Refused, check, is_loopback

OURS = "127.0.0.1:8080"


def asked(method: str = "GET", host: str | None = OURS, **headers: str) -> None:
    """Check a request; underscores in the headers' names stand for hyphens."""
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    if host is not None:
        given["Host"] = host
    check(make_mocked_request(method, "/", headers=given))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "127.0.0.1", "127.8.9.10:1", "localhost", "LOCALHOST:80", "[::1]:8080", "[::1]"],
)
def test_loopback_by_any_name_and_port_is_ours(host: str) -> None:
    assert is_loopback(host)
    asked(host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "user@localhost",
        "evil.example#localhost",
        "evil.example/localhost",
        "localhost/",
        "localhost?x",
        "192.0.2.1:8080",
        "0.0.0.0:8080",
        "[::]:8080",
        "[::1",
        "localhost:port",
        "localhost:99999",
        "",
        " ",
    ],
)
def test_another_host_is_refused(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(Refused) as refused:
        asked(host=host)
    assert refused.value.status == 421


def test_no_host_is_refused() -> None:
    with pytest.raises(Refused):
        asked(host=None)


def test_two_hosts_are_refused() -> None:
    headers = CIMultiDict([("Host", OURS), ("Host", OURS)])
    with pytest.raises(Refused):
        check(make_mocked_request("GET", "/", headers=headers))


def test_our_own_page_may_change_something() -> None:
    asked("POST", Origin=f"http://{OURS}", Sec_Fetch_Site="same-origin", **{REQUEST_HEADER: "console"})


def test_our_own_command_may_change_something() -> None:
    asked("POST", **{REQUEST_HEADER: "cli"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": f"http://{OURS}"},
        {"Origin": "http://evil.example", REQUEST_HEADER: "console"},
        {"Origin": "http://127.0.0.1:9999", REQUEST_HEADER: "console"},
        {"Origin": f"https://{OURS}", REQUEST_HEADER: "console"},
        {"Origin": "null", REQUEST_HEADER: "console"},
        {"Sec_Fetch_Site": "cross-site", REQUEST_HEADER: "console"},
        {"Sec_Fetch_Site": "same-site", REQUEST_HEADER: "console"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document", REQUEST_HEADER: "console"},
    ],
)
def test_another_site_may_change_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        asked("POST", **headers)
    assert refused.value.status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_other_method_is_held_to_the_same(method: str) -> None:
    with pytest.raises(Refused):
        asked(method)


def test_another_site_may_read_nothing_but_may_link_to_us() -> None:
    for destination in ("empty", "script", "image", "iframe", "style"):
        with pytest.raises(Refused):
            asked(Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=destination)
    asked(Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")
