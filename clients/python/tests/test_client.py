"""The synchronous client: on gRPC's fake channel where that tells enough, else on a real one."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import grpc_testing
import pytest

from llmproxy_client import BrokenStream, Client, Tls, collect, connect, count_tokens, embed, stream, text
from llmproxy_client.channel import check_target
from llmproxy_client.v1.chat_pb2 import ChatRequest, StreamOptions, StreamRequest
from llmproxy_client.v1.content_pb2 import ContentPart
from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_QUERY
from llmproxy_client.v1.health_pb2 import HealthRequest
from llmproxy_client.v1.llm_proxy_service_pb2 import DESCRIPTOR
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub

METHODS = DESCRIPTOR.services_by_name["LlmProxyService"].methods_by_name
CHAT = ChatRequest(model="assistant")


@pytest.fixture(name="fake")
def _fake():
    return grpc_testing.channel(DESCRIPTOR.services_by_name.values(), grpc_testing.strict_real_time())


@pytest.fixture(name="answered")
def _answered(fake):
    """Runs a call on the fake channel; gives its future and the other end of the stream."""
    with ThreadPoolExecutor(1) as pool:

        def run(call):
            future = pool.submit(call, LlmProxyServiceStub(fake))
            metadata, request, rpc = fake.take_unary_stream(METHODS["Stream"])
            rpc.send_initial_metadata(())
            return future, request, metadata, rpc

        yield run


def read(stub, reader=collect, **settings):
    with stream(stub, CHAT, **settings) as events:
        return reader(events)


def test_a_stream_is_collected(answered, spoken):
    future, request, _, rpc = answered(read)
    for event in spoken("Hello", " there"):
        rpc.send_response(event)
    rpc.terminate((), grpc.StatusCode.OK, "")

    assert request.chat == CHAT
    assert future.result(5).candidates[0].message.parts[0].text == "Hello there"


def test_a_stream_takes_options_and_metadata(answered):
    options = StreamOptions(inband_error=True)
    future, request, metadata, rpc = answered(
        lambda stub: read(stub, next, options=options, metadata=[("x-request-id", "r")])
    )
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "")

    assert request.options == options
    assert ("x-request-id", "r") in metadata
    assert isinstance(future.exception(5), grpc.RpcError)


def test_a_stream_that_ends_ok_without_end_is_refused(answered, spoken):
    future, _, _, rpc = answered(read)
    for event in spoken("Hello")[:-1]:
        rpc.send_response(event)
    rpc.terminate((), grpc.StatusCode.OK, "")

    assert isinstance(future.exception(5), BrokenStream)


def test_leaving_the_block_cancels_the_call(answered, spoken):
    future, _, _, rpc = answered(lambda stub: read(stub, lambda events: next(text(events))))
    for event in spoken("Hello", " there")[:2]:
        rpc.send_response(event)

    assert future.result(5) == "Hello"
    rpc.cancelled()  # returns once it is


def test_an_error_in_the_block_cancels_the_call(answered, spoken):
    future, _, _, rpc = answered(lambda stub: read(stub, lambda events: 1 / len(next(events).delta.text)))
    rpc.send_response(spoken("Hello")[0])

    assert isinstance(future.exception(5), ZeroDivisionError)
    rpc.cancelled()


def test_the_proxy_hears_at_once_that_the_block_was_left(script, target):
    script.hang = True
    with connect(target) as client:
        with stream(client.stub, CHAT) as events:
            assert next(text(events)) == "Hello"
            assert not script.left.is_set()

        assert script.left.wait(2)


def test_closing_the_client_ends_its_calls(script, target):
    script.hang = True
    client = connect(target)
    call = client.stub.Stream(StreamRequest(chat=CHAT))
    next(call)

    client.close()

    assert script.left.wait(2)
    with pytest.raises(ValueError, match="closed"):
        client.stub.Chat(CHAT)


def test_the_key_travels_with_every_call(script, target):
    with connect(target, api_key="test-key") as client:
        client.stub.Chat(CHAT)
        with stream(client.stub, CHAT, metadata=[("x-request-id", "r")]) as events:
            collect(events)

    assert [metadata["authorization"] for metadata in script.metadata] == ["Bearer test-key"] * 2
    assert script.metadata[1]["x-request-id"] == "r"


def test_a_call_may_bring_a_key_of_its_own(script, target):
    with connect(target, api_key="test-key") as client:
        client.stub.Chat(CHAT, metadata=[("authorization", "Bearer other-key")])

    assert script.metadata[0]["authorization"] == "Bearer other-key"


def test_without_a_key_no_credential_travels(script, target):
    with connect(target) as client:
        client.stub.Chat(CHAT)

    assert "authorization" not in script.metadata[0]


@pytest.mark.parametrize("key", ["", "two words", "line\n", "schlüssel", "\x00"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(key):
    with pytest.raises(ValueError, match="API key") as caught:
        connect(api_key=key)

    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("target", ["", "  ", "http://127.0.0.1:50051", "https://proxy"])
def test_a_target_that_cannot_be_meant_is_refused(target):
    with pytest.raises(ValueError, match="target"):
        connect(target)


@pytest.mark.parametrize(
    "target", ["proxy", "127.0.0.1", "proxy:", ":50051", "proxy:port", "::1", "[::1]", "2001:db8::1", "proxy:5/x"]
)
def test_a_host_without_a_port_is_refused_and_not_taken_for_port_443(target):
    with pytest.raises(ValueError, match="a target is HOST:PORT or unix:PATH"):
        connect(target)


@pytest.mark.parametrize(
    "target",
    [
        "proxy:50051",
        "127.0.0.1:1",
        "[::1]:50051",
        "[fe80::1%eth0]:1",
        "unix:proxy.sock",
        "unix:///run/proxy",
        "unix-abstract:proxy",
        "dns:///proxy",
        "dns:///proxy:50051",
        "dns:proxy:50051",
        "dns://8.8.8.8/proxy:1",
        "ipv4:10.0.0.1:1,10.0.0.2:1",
        "ipv6:[::1]:1",
        "xds:///proxy",
        "consul://proxy",
    ],
)
def test_what_names_a_port_or_a_resolver_is_a_target(target):
    assert check_target(target) == target


def test_a_unix_socket_is_a_target(script, serving, tmp_path):
    with serving(script, f"unix:{tmp_path}/s") as target, connect(target) as client:
        assert client.stub.Chat(CHAT).id == "r1"


def test_unavailable_is_repeated_before_the_first_message(script, target, refusal):
    script.error, script.failures = refusal(grpc.StatusCode.UNAVAILABLE, "busy"), 1
    with connect(target) as client:
        assert client.stub.Chat(CHAT).id == "r1"

    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("code", "trailers"),
    [
        (grpc.StatusCode.UNAVAILABLE, [("grpc-retry-pushback-ms", "-1")]),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, []),
        (grpc.StatusCode.INTERNAL, []),
    ],
)
def test_nothing_else_is_repeated_nor_what_the_proxy_forbids(script, target, refusal, code, trailers):
    script.error = refusal(code, "no", trailers=trailers)
    with connect(target) as client, pytest.raises(grpc.RpcError):
        client.stub.Chat(CHAT)

    assert len(script.asked) == 1


def test_nothing_is_repeated_after_the_first_message(script, target, refusal, spoken):
    script.events, script.error = spoken("Hello")[:2], refusal(grpc.StatusCode.UNAVAILABLE, "broke")
    with connect(target) as client, pytest.raises(grpc.RpcError, match="broke"):
        read(client.stub)

    assert len(script.asked) == 1


def test_retries_can_be_left_to_another_layer(script, target, refusal):
    script.error = refusal(grpc.StatusCode.UNAVAILABLE, "busy")
    with connect(target, retries=False) as client, pytest.raises(grpc.RpcError):
        client.stub.Health(HealthRequest())

    assert len(script.asked) == 1


def test_answers_beyond_grpcs_four_mebibytes_are_taken(script, target, said):
    script.answer = said(ContentPart(text="x" * 5_000_000))
    with connect(target) as client:
        assert len(client.stub.Chat(CHAT).candidates[0].message.parts[0].text) == 5_000_000


def test_options_of_the_caller_win(script, target, said):
    script.answer = said(ContentPart(text="x" * 5_000))
    with (
        connect(target, options=[("grpc.max_receive_message_length", 1000)]) as client,
        pytest.raises(grpc.RpcError) as caught,
    ):
        client.stub.Chat(CHAT)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_timeout_ends_a_stream(script, target):
    script.hang = True
    began = time.monotonic()
    with connect(target) as client, suppress(grpc.RpcError):
        read(client.stub, timeout=0.2)

    assert time.monotonic() - began < 2
    assert script.left.wait(2)


def test_a_channel_of_your_own_does_as_well(target):
    with Client(grpc.insecure_channel(target)) as client:
        assert read(client.stub).id == "r1"


def test_tls_proves_both_sides(script, serving, certificates):
    paths = certificates
    server = grpc.ssl_server_credentials(
        [(paths.key.read_bytes(), paths.cert.read_bytes())], paths.ca.read_bytes(), require_client_auth=True
    )
    with serving(script, credentials=server) as target:
        tls = Tls(str(paths.ca), str(paths.cert), str(paths.key))
        with connect(target, tls=tls, api_key="test-key") as client:
            assert client.stub.Chat(CHAT).id == "r1"
        with connect(target, tls=Tls(str(paths.ca)), retries=False) as client, pytest.raises(grpc.RpcError):
            client.stub.Chat(CHAT)

    assert script.metadata[0]["authorization"] == "Bearer test-key"
    assert len(script.asked) == 1


def test_a_certificate_needs_its_key():
    with pytest.raises(ValueError, match="both"):
        Tls(cert_file="cert.pem")


def test_a_missing_file_is_told_by_its_name(tmp_path):
    with pytest.raises(OSError, match=r"none\.pem"):
        connect(tls=Tls(ca_file=str(tmp_path / "none.pem")))


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\nMIIB"])
@pytest.mark.parametrize(
    ("name", "what"), [("ca_file", "certificate"), ("cert_file", "certificate"), ("key_file", "private key")]
)
def test_a_file_without_what_it_should_hold_is_told_by_its_name(certificates, tmp_path, name, what, text):
    files = {"ca_file": certificates.ca, "cert_file": certificates.cert, "key_file": certificates.key}
    files[name] = tmp_path / "odd.pem"
    files[name].write_text(text)
    with pytest.raises(ValueError, match=rf"odd\.pem holds no {what} as PEM"):
        connect(tls=Tls(**{each: str(file) for each, file in files.items()}))


def test_texts_become_vectors(script, target, vectors):
    script.embedded = vectors([0.25], [0.5])
    with connect(target) as client:
        response = embed(client.stub, "m", ["a", "b"], purpose=EMBED_PURPOSE_QUERY, dimensions=1, timeout=5)

    assert [list(embedding.values) for embedding in response.embeddings] == [[0.25], [0.5]]
    asked = script.asked[0]
    assert (asked.model, [part.text for part in asked.inputs]) == ("m", ["a", "b"])
    assert (asked.purpose, asked.dimensions) == (EMBED_PURPOSE_QUERY, 1)


def test_a_conversation_is_counted(script, target):
    with connect(target) as client:
        response = count_tokens(client.stub, CHAT, timeout=5, metadata=[("x-request-id", "r")])

    assert response == script.counted
    assert script.asked[0].chat == CHAT
    assert script.metadata[0]["x-request-id"] == "r"


def test_large_vectors_are_taken(script, target, vectors):
    script.embedded = vectors(*[[0.5] * 1536] * 2048)
    with connect(target) as client:
        assert len(embed(client.stub, "m", ["a"]).embeddings) == 2048
