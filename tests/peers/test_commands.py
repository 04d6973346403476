"""The commands against programs that nobody here wrote, and against ports that are really taken."""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom import dcmread, dcmwrite
from pydicom.uid import RLELossless

from gateway.cli import gateway
from gateway.commands.passages import Console
from gateway.commands.serve import unavailable
from gateway.config import Config, load
from gateway.demo.phantom import Phantom, phantom_series

leaves_a_socket_behind = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""pynetdicom leaves a socket that could not connect to the garbage collector, which says so."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def config_file(folder: Path, *, dicom: int = 11112, console: int = 8743, tps: int = 11113) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(
        f"dicom: {{ae_title: CONTOURGATE, port: {dicom}}}\n"
        "sources: [{ae_title: PACS, addresses: [127.0.0.1]}]\n"
        f"destinations: [{{name: tps, ae_title: TPS, host: 127.0.0.1, port: {tps}}}]\n"
        "rules: [{model: default, deliver_to: [tps]}]\n"
        "contourer: {kind: embedded}\n"
        f"console: {{port: {console}}}\n"
        "state_dir: var\n"
        "clinic_key_file: var/clinic.key\n"
    )
    return file


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """dcmtk's Storage SCP: its port, and where it puts what it gets."""
    port, folder = free_port(), tmp_path / "stored"
    folder.mkdir()
    process = subprocess.Popen(["storescp", "-aet", "TPS", "+xa", "-od", str(folder), str(port)])
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port, folder
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.peer("storescp")
def test_echo_hears_a_peer_by_its_address_and_by_its_name(storescp: tuple[int, Path], tmp_path: Path) -> None:
    port, _ = storescp
    by_address = CliRunner().invoke(gateway, ["echo", f"TPS@127.0.0.1:{port}"])
    assert (by_address.exit_code, by_address.output) == (0, f"TPS@127.0.0.1:{port} answers\n")
    by_name = CliRunner().invoke(gateway, ["echo", "tps", "-c", str(config_file(tmp_path, tps=port))])
    assert by_name.exit_code == 0


@leaves_a_socket_behind
def test_echo_tells_what_to_do_when_nobody_answers() -> None:
    result = CliRunner().invoke(gateway, ["echo", f"TPS@127.0.0.1:{free_port()}"])
    gc.collect()
    assert result.exit_code == 1
    assert result.stderr.startswith("PEER_UNREACHABLE: ")
    assert len(result.stderr.splitlines()) == 2


@leaves_a_socket_behind
@pytest.mark.peer("storescp")
def test_check_asks_each_peer_when_told_to(storescp: tuple[int, Path], tmp_path: Path) -> None:
    file = config_file(tmp_path, tps=storescp[0])
    result = CliRunner().invoke(gateway, ["check", "-c", str(file), "--echo"])
    assert result.exit_code == 0
    assert result.output.endswith(f"destination tps (TPS@127.0.0.1:{storescp[0]}): answers\n")

    file = config_file(tmp_path, tps=free_port())
    result = CliRunner().invoke(gateway, ["check", "-c", str(file), "--echo"])
    gc.collect()
    assert result.exit_code == 1
    assert "PEER_UNREACHABLE" in result.output


@pytest.mark.peer("storescp")
def test_send_stores_each_file_as_it_is_encoded(storescp: tuple[int, Path], tmp_path: Path) -> None:
    port, stored = storescp
    folder = tmp_path / "images"
    folder.mkdir()
    native, compressed = phantom_series(Phantom(slices=2, matrix=16))
    compressed.compress(RLELossless)
    for number, image in enumerate((native, compressed)):
        dcmwrite(folder / f"{number}.dcm", image, enforce_file_format=True)
    (folder / "notes.txt").write_text("no image")

    result = CliRunner().invoke(gateway, ["send", str(folder), "--to", f"TPS@127.0.0.1:{port}"])
    assert result.exit_code == 1
    assert result.stderr == f"{folder / 'notes.txt'}: no DICOM file\n"
    assert result.stdout == f"2 of 3 stored to TPS@127.0.0.1:{port}\n"
    syntaxes = {dcmread(file).file_meta.TransferSyntaxUID for file in stored.iterdir()}
    assert syntaxes == {native.file_meta.TransferSyntaxUID, RLELossless}


def test_a_port_that_is_taken_is_told_with_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        config = load(config_file(tmp_path, dicom=port, console=free_port()))
        assert list(unavailable(config)) == [
            (("dicom", "port"), f"another program listens on port {port} already")
        ]
        console = load(config_file(tmp_path, dicom=free_port(), console=port))
        assert [place for place, _ in unavailable(console)] == [("console", "port")]
    assert list(unavailable(config)) == []


def test_an_address_of_another_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    config = load(config_file(tmp_path, dicom=free_port(), console=free_port()))
    elsewhere: Config = config.model_copy(
        update={"dicom": config.dicom.model_copy(update={"host": "192.0.2.1"})}
    )
    assert list(unavailable(elsewhere)) == [(("dicom", "host"), "192.0.2.1 is no address of this machine")]


def test_run_does_not_start_on_a_taken_port_and_says_where_it_is_configured(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        file = config_file(tmp_path, dicom=port, console=free_port())
        result = CliRunner().invoke(gateway, ["run", "-c", str(file)])
    assert result.exit_code == 78
    assert result.stderr == f"{file}:1: dicom.port: another program listens on port {port} already\n"


class Answer(BaseHTTPRequestHandler):
    """The console's API as far as the commands ask it; keeps what was asked."""

    asked: list[tuple[str, str, str | None]]
    status = 204

    def do_GET(self) -> None:
        self.answer(200, {"passages": []})

    def do_POST(self) -> None:
        self.answer(
            self.status, {"error": {"reason": "The passage is not held."}} if self.status != 204 else None
        )

    def answer(self, status: int, body: object) -> None:
        self.asked.append((self.command, self.path, self.headers.get("X-Contourgate")))
        self.send_response(status)
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Console, type[Answer]]]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # must not be gone by
    handler = type("Recording", (Answer,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Console("127.0.0.1", server.server_port), handler
        server.shutdown()
        thread.join()


def test_a_decision_goes_to_the_console_with_the_header_that_foreign_pages_cannot_send(
    api: tuple[Console, type[Answer]],
) -> None:
    console, handler = api
    assert console.passages() == []
    console.decide("0" * 32, "release")
    assert handler.asked == [
        ("GET", "/api/passages", "1"),
        ("POST", f"/api/passages/{'0' * 32}/release", "1"),
    ]


def test_the_consoles_reason_is_passed_on(api: tuple[Console, type[Answer]]) -> None:
    console, handler = api
    handler.status = 409
    with pytest.raises(Exception, match=r"The passage is not held\."):
        console.decide("0" * 32, "cancel")
