import asyncio

import grpc
import pytest

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.fakes.certificates import Authority
from tests.fakes.requests import chat_request, stream_request
from tests.fakes.scripted_provider import answer


def config(certificate, key, client_ca=None):
    tls = {"cert": str(certificate), "key": str(key)}
    if client_ca is not None:
        tls["client_ca"] = str(client_ca)
    return {"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "tls": tls}}


def connected(address, roots, pair=None):
    key, certificate = (pair[1].read_bytes(), pair[0].read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(roots.read_bytes(), key, certificate)
    # The lists of addresses are shared between channels of the same target; a channel of its own sees every handshake.
    return grpc.aio.secure_channel(address, credentials, options=(("grpc.use_local_subchannel_pool", 1),))


async def ask(address, roots, pair=None):
    async with connected(address, roots, pair) as channel:
        return await LlmProxyServiceStub(channel).Chat(chat_request(), timeout=5)


async def test_tls_serves_callers_that_trust_the_authority(serve, tmp_path):
    authority = Authority(tmp_path)
    stranger = Authority(tmp_path, "other authority")
    async with serve(config(*authority.issue("server"))) as server:
        assert (await ask(server.address, authority.file)).model == "assistant"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(server.address, stranger.file)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_mtls_refuses_callers_without_a_certificate_of_the_authority(serve, tmp_path):
    authority, clients = Authority(tmp_path), Authority(tmp_path, "client authority")
    async with serve(config(*authority.issue("server"), clients.file)) as server:
        assert (await ask(server.address, authority.file, clients.issue("caller"))).model == "assistant"
        for pair in (None, authority.issue("stranger"), clients.issue("expired", days=-10)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await ask(server.address, authority.file, pair)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_authorities_that_are_being_written_lock_no_caller_out(serve, tmp_path):
    authority, clients = Authority(tmp_path), Authority(tmp_path, "client authority")
    async with serve(config(*authority.issue("server"), clients.file)) as server:
        clients.file.write_text("")
        assert (await ask(server.address, authority.file, clients.issue("caller"))).model == "assistant"
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(server.address, authority.file)


async def test_a_renewed_certificate_is_shown_without_a_restart_and_no_stream_is_dropped(serve, tmp_path):
    old, new = Authority(tmp_path), Authority(tmp_path, "new authority")
    certificate, key = old.issue("server")
    async with serve(config(certificate, key)) as server, connected(server.address, old.file) as channel:
        assert (await ask(server.address, old.file)).model == "assistant"
        go = asyncio.Event()
        begin, rest = answer("Hello there")[:2], answer("Hello there")[2:]
        server.scripted.streams.append([*begin, go.wait, *rest])
        stream = aiter(LlmProxyServiceStub(channel).Stream(stream_request(), timeout=25))
        await anext(stream)
        await asyncio.sleep(0.01)
        renewed, renewed_key = new.issue("renewed")
        key.write_bytes(renewed_key.read_bytes())
        certificate.write_bytes(renewed.read_bytes())
        async with asyncio.timeout(10):
            while True:
                try:
                    await ask(server.address, new.file)
                except grpc.aio.AioRpcError:
                    continue
                break
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(server.address, old.file)
        go.set()
        events = [event async for event in stream]
        assert events[-1].HasField("end")
        # The connection of before is as good as any.
        assert (await LlmProxyServiceStub(channel).Chat(chat_request(), timeout=5)).model == "assistant"
