import os
import shutil

import pytest

from llmproxy_grpc.config.schema import GrpcConfig, TlsConfig
from llmproxy_grpc.server.server import CertificateFiles, options
from tests.fakes.certificates import Authority


@pytest.mark.parametrize("most", [1, 1024, 1025, 5000, 1_000_000])
def test_one_connection_may_hold_all_that_admission_lets_in_and_more(most):
    streams = dict(options(GrpcConfig(max_in_flight=most)))["grpc.max_concurrent_streams"]
    # Chat, Stream and Embed have a limit each; a probe still has to get through, and be refused rather than wait.
    assert 3 * most + 1000 < streams < 2**31
    assert streams >= 4096


def test_the_longest_request_is_the_configured_one_and_answers_have_no_limit_here():
    chosen = dict(options(GrpcConfig(max_receive_bytes=123_456)))
    assert chosen["grpc.max_receive_message_length"] == 123_456
    assert chosen["grpc.max_send_message_length"] == -1


def test_a_caller_that_vanishes_without_a_word_is_found_within_40_seconds():
    chosen = dict(options(GrpcConfig()))
    for patience in ("grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"):
        assert 0 < chosen["grpc.keepalive_time_ms"] + chosen[patience] <= 40_000


def test_a_caller_that_pings_each_ten_seconds_pings_not_too_often_with_calls_or_without():
    """Else gRPC ends its connection, and the call that waits on it."""
    chosen = dict(options(GrpcConfig()))
    assert chosen["grpc.http2.min_ping_interval_without_data_ms"] < 10_000
    assert chosen["grpc.keepalive_permit_without_calls"] == 1


def test_no_option_is_given_twice():
    names = [name for name, _ in options(GrpcConfig())]
    assert len(names) == len(set(names))


@pytest.fixture
def tls(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    return TlsConfig(cert=certificate, key=key, client_ca=authority.file)


def touch(file):
    """Marks a file as changed, whatever the steps of the file system's clock."""
    later = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(later, later))


def test_unchanged_certificates_are_not_read_again(tls):
    files = CertificateFiles(tls)
    assert files.read() is not None
    assert files.renewed() is None


@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_any_changed_file_renews_the_certificates_once(tls, name):
    files = CertificateFiles(tls)
    touch(getattr(tls, name))
    assert files.renewed() is not None
    assert files.renewed() is None


def test_while_a_file_is_away_the_old_certificates_hold_and_then_the_new_ones_are_taken(tls):
    files = CertificateFiles(tls)
    away = tls.key.with_suffix(".away")
    touch(tls.cert)
    shutil.move(tls.key, away)
    assert files.renewed() is None
    shutil.move(away, tls.key)
    assert files.renewed() is not None


def test_a_file_that_can_be_seen_but_not_read_leaves_the_old_certificates(tls):
    files = CertificateFiles(tls)
    tls.key.unlink()
    tls.key.mkdir()
    assert files.renewed() is None


def test_certificates_that_are_missing_at_the_start_are_an_error(tls):
    tls.cert.unlink()
    with pytest.raises(FileNotFoundError):
        CertificateFiles(tls)


HALF_WRITTEN = [
    "",
    "hello",
    "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
    "-----BEGIN CERTIFICATE-----\nMIIB",
    "-----BEGIN PRIVATE KEY-----\nMIIB",
]


@pytest.mark.parametrize("text", HALF_WRITTEN)
@pytest.mark.parametrize(
    ("name", "what"), [("cert", "certificate"), ("key", "private key"), ("client_ca", "certificate")]
)
def test_a_file_without_what_it_should_hold_is_named_at_the_start(tls, name, what, text):
    getattr(tls, name).write_text(text)
    with pytest.raises(OSError, match=f"grpc.tls.{name}: .* holds no {what} as PEM"):
        CertificateFiles(tls).read()


@pytest.mark.parametrize("text", HALF_WRITTEN)
@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_a_file_that_is_not_written_yet_leaves_the_old_certificates_until_it_is(tls, name, text):
    files, file = CertificateFiles(tls), getattr(tls, name)
    whole = file.read_bytes()
    file.write_text(text)
    touch(file)
    assert files.renewed() is None
    file.write_bytes(whole)
    touch(file)
    touch(file)
    assert files.renewed() is not None


@pytest.mark.parametrize("words", ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"])
def test_every_form_of_a_private_key_is_one(tls, words):
    tls.key.write_text(f"-----BEGIN {words}-----\nAA==\n-----END {words}-----\n")
    assert CertificateFiles(tls).read() is not None
