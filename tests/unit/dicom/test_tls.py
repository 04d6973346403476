"""Who can shake hands with us, who cannot, and whose certificate counts as whose."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives import serialization

from gateway.config import TLS, Source
from gateway.dicom.tls import ServerTLS, belongs_to, client_context, not_after, server_context
from gateway.errors import ConfigError
from tests.pki import Authority

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.issue("GATEWAY")
    made.issue("CT1")
    return made


def tls(authority: Authority, name: str = "GATEWAY", **changes: object) -> TLS:
    files = {
        "certificate_file": authority.folder / f"{name}.pem",
        "key_file": authority.folder / f"{name}.key",
    }
    return TLS.model_validate({**files, "ca_file": authority.ca_file, **changes})


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let both talk until both are done, without a socket, and exchange a byte each way."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="gateway.example")
    waiting = [theirs.do_handshake, ours.do_handshake]
    for _ in range(10):
        for step in list(waiting):
            try:
                step()
                waiting.remove(step)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    ours.write(b"o")
    theirs.write(b"t")
    assert (theirs.read(1), ours.read(1)) == (b"o", b"t")
    return ours, theirs


def client_of(authority: Authority, name: str) -> ssl.SSLContext:
    return client_context(tls(authority, name))


def test_peers_of_one_authority_shake_hands_with_tls_1_3(authority: Authority) -> None:
    ours, _ = shake_hands(server_context(tls(authority)), client_of(authority, "CT1"))
    assert ours.version() == "TLSv1.3"
    assert ours.getpeercert(binary_form=True) == authority.der("CT1")


@pytest.mark.parametrize("profile", ["bcp195", "bcp195-extended"])
def test_tls_1_2_uses_ephemeral_keys_and_authenticated_encryption(authority: Authority, profile: str) -> None:
    server, client = server_context(tls(authority, profile=profile)), client_of(authority, "CT1")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, _ = shake_hands(server, client)
    cipher = ours.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE")
    for offered in server.get_ciphers():
        assert offered["aead"]
        assert offered["protocol"] == "TLSv1.3" or "ECDHE" in offered["name"]
        assert profile == "bcp195" or offered["protocol"] == "TLSv1.3" or "GCM" in offered["name"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(authority: Authority) -> None:
    client = client_of(authority, "CT1")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(tls(authority)), client)


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_a_weak_cipher_is_refused(authority: Authority, cipher: str) -> None:
    client = client_of(authority, "CT1")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(tls(authority)), client)


def test_a_peer_without_a_certificate_is_refused(authority: Authority) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(authority.ca_file)
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(tls(authority)), client)


@pytest.mark.parametrize("days", [(-10.0, -1.0), (1.0, 10.0)], ids=["expired", "not yet"])
def test_a_certificate_out_of_its_time_is_refused(authority: Authority, days: tuple[float, float]) -> None:
    authority.issue("LATE", starts_in_days=days[0], ends_in_days=days[1])
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(tls(authority)), client_of(authority, "LATE"))


def test_a_foreign_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "Another CA")
    foreign.issue("CT1")
    client = client_context(tls(foreign, "CT1", ca_file=authority.ca_file))
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(tls(authority)), client)


def test_a_revoked_certificate_is_refused(authority: Authority) -> None:
    authority.issue("STOLEN")
    crl_file = authority.revoke("STOLEN")
    server = server_context(tls(authority, crl_file=crl_file))
    shake_hands(server, client_of(authority, "CT1"))
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client_of(authority, "STOLEN"))


def test_control_without_the_crl_it_would_come_in(authority: Authority) -> None:
    authority.issue("STOLEN")
    shake_hands(server_context(tls(authority)), client_of(authority, "STOLEN"))


def test_we_refuse_a_foreign_server(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "Another CA")
    foreign.issue("TPS")
    with pytest.raises(ssl.SSLError):
        shake_hands(
            server_context(tls(foreign, "TPS", ca_file=authority.ca_file)), client_of(authority, "GATEWAY")
        )


def test_a_session_is_not_resumed(authority: Authority) -> None:
    server, client = server_context(tls(authority)), client_of(authority, "CT1")
    _, theirs = shake_hands(server, client)
    assert theirs.session is None or not theirs.session.has_ticket


# -- whose certificate


def source(**changes: object) -> Source:
    return Source.model_validate({"ae_title": "CT1", "addresses": ["10.0.0.1"], **changes})


def test_the_common_name_is_the_ae_title(authority: Authority) -> None:
    assert belongs_to(authority.der("CT1"), source())
    assert not belongs_to(authority.der("GATEWAY"), source())


def test_a_fingerprint_counts_more_than_the_name(authority: Authority) -> None:
    assert belongs_to(authority.der("GATEWAY"), source(certificate_sha256=authority.sha256("GATEWAY")))
    assert not belongs_to(authority.der("CT1"), source(certificate_sha256=authority.sha256("GATEWAY")))


def test_no_certificate_belongs_to_nobody() -> None:
    assert not belongs_to(None, source())
    assert not belongs_to(b"\x30\x03abc", source())


# -- the files


def make(folder: Path) -> tuple[Authority, ServerTLS]:
    made = Authority(folder)
    made.issue("GATEWAY", ends_in_days=10)
    made.issue("CT1")
    return made, ServerTLS(tls(made))


def test_a_renewed_certificate_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    authority, server = make(tmp_path)
    before = server.context()
    assert server.context() is before
    assert 9 < server.days_left(NOW) < 11
    authority.issue("GATEWAY", ends_in_days=500)
    assert server.context() is not before
    assert 499 < server.days_left(NOW) < 501
    _, theirs = shake_hands(server.context(), client_of(authority, "CT1"))
    assert theirs.getpeercert(binary_form=True) == authority.der("GATEWAY")


@pytest.mark.parametrize("file_name", ["GATEWAY.pem", "GATEWAY.key", "ca.pem"])
def test_unfit_new_files_leave_the_old_in_force(tmp_path: Path, file_name: str) -> None:
    authority, server = make(tmp_path)
    before = server.context()
    client = client_of(authority, "CT1")
    (tmp_path / file_name).write_text("not PEM")
    with structlog.testing.capture_logs() as logs:
        assert server.context() is before
        assert server.context() is before
    assert [entry["reason"] for entry in logs] == ["TLS_UNFIT"]
    shake_hands(server.context(), client)


def test_a_file_that_vanishes_for_a_moment_is_survived(tmp_path: Path) -> None:
    authority, server = make(tmp_path)
    before = server.context()
    os.rename(tmp_path / "GATEWAY.pem", tmp_path / "away.pem")
    assert server.context() is before
    os.rename(tmp_path / "away.pem", tmp_path / "GATEWAY.pem")
    shake_hands(server.context(), client_of(authority, "CT1"))


@pytest.mark.parametrize("file_name", ["GATEWAY.pem", "GATEWAY.key", "ca.pem"])
def test_unfit_files_keep_the_gateway_from_starting(tmp_path: Path, file_name: str) -> None:
    authority, _ = make(tmp_path)
    (tmp_path / file_name).unlink()
    with pytest.raises(ConfigError) as caught:
        ServerTLS(tls(authority))
    assert caught.value.code == "TLS_UNFIT"


def test_the_key_of_another_certificate_is_unfit(tmp_path: Path) -> None:
    authority, _ = make(tmp_path)
    with pytest.raises(ConfigError):
        server_context(tls(authority, key_file=tmp_path / "CT1.key"))


def test_a_key_with_a_password_is_unfit_and_asks_nobody(tmp_path: Path) -> None:
    authority, _ = make(tmp_path)
    key_file = tmp_path / "GATEWAY.key"
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"made"),
        )
    )
    with pytest.raises(ConfigError):
        server_context(tls(authority))


def test_the_end_of_a_certificate_is_read(tmp_path: Path) -> None:
    make(tmp_path)
    assert abs(not_after(tmp_path / "GATEWAY.pem") - NOW - datetime.timedelta(days=10)) < datetime.timedelta(
        1
    )
