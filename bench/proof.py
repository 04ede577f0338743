"""Proves that calls were OK: the driver sees HTTP 200 alone, and gRPC answers errors by 200 as well."""

import re
import time
import urllib.request
from contextlib import closing

import grpc
import msgspec

from bench.driver import chat_request
from bench.scenarios import Load
from bench.stand_in import Count, words
from llmproxy_grpc._gen.v1 import chat_pb2, llm_proxy_service_pb2_grpc

CALLS = re.compile(r"^llmproxy_calls_total\{([^}]*)\} ([0-9.eE+]+)$", re.MULTILINE)
CODE = re.compile(r'code="([A-Z_]+)"')


class CallFailed(Exception):
    """A call was not OK, or its answer was not what the stand-in said."""


class Tally(msgspec.Struct, frozen=True):
    """How many calls stand in the books: the stand-in's, and the proxy's by code if it keeps any."""

    requests: int
    completed: int
    codes: dict[str, int] | None = None


def read_tally(stand_in: str, metrics: str | None) -> Tally:
    """Reads the stand-in's counter, and the metrics of the proxy if it has an HTTP address."""
    count = read_count(stand_in)
    codes = None if metrics is None else read_codes(_get(f"http://{metrics}/metrics").decode())
    return Tally(requests=count.requests, completed=count.completed, codes=codes)


def read_count(stand_in: str) -> Count:
    """Reads the stand-in's counter."""
    return msgspec.json.decode(_get(f"http://{stand_in}/count"), type=Count)


def read_codes(exposition: str) -> dict[str, int]:
    """Sums up the calls of a metrics page by gRPC code."""
    codes: dict[str, int] = {}
    for labels, value in CALLS.findall(exposition):
        code = CODE.search(labels)
        if code is not None:
            codes[code[1]] = codes.get(code[1], 0) + int(float(value))
    return codes


def prove(before: Tally, after: Tally, calls: int) -> None:
    """Checks that exactly so many calls came in between, and that every one was answered in full and OK.

    Raises:
        CallFailed: otherwise.
    """
    served = (after.requests - before.requests, after.completed - before.completed)
    if served != (calls, calls):
        raise CallFailed(f"the stand-in began and completed {served} answers for {calls} calls")
    if before.codes is None or after.codes is None:
        return
    counts = {code: count - before.codes.get(code, 0) for code, count in after.codes.items()}
    if {code: count for code, count in counts.items() if count} != {"OK": calls}:
        raise CallFailed(f"the proxy counted {counts} for {calls} calls")


def settled_tally(stand_in: str, metrics: str | None, before: Tally, calls: int) -> Tally:
    """Reads the books once they show all the calls; a server books a call shortly after its caller has the answer."""
    for _ in range(100):
        tally = read_tally(stand_in, metrics)
        booked = tally.requests if tally.codes is None else sum(tally.codes.values())
        if booked - (before.requests if before.codes is None else sum(before.codes.values())) >= calls:
            break
        time.sleep(0.02)
    return tally


def check(address: str, load: Load) -> None:
    """Makes one call and compares its answer, word for word.

    Raises:
        CallFailed: it differs, or the stream has no end.
    """
    expected = "".join(words(load.tokens))
    with closing(grpc.insecure_channel(address)) as channel:
        stub = llm_proxy_service_pb2_grpc.LlmProxyServiceStub(channel)
        request = chat_request(load)
        try:
            if load.stream:
                said = _streamed(list(stub.Stream(chat_pb2.StreamRequest(chat=request), timeout=30)))
            else:
                said = stub.Chat(request, timeout=30).candidates[0].message.parts[0].text
        except grpc.RpcError as error:
            raise CallFailed(f"{load.method}: {error}") from error
    if said != expected:
        raise CallFailed(f"{load.method} answered {said!r} in place of {expected!r}")


def _streamed(responses: list[chat_pb2.StreamResponse]) -> str:
    if not responses or responses[-1].WhichOneof("event") != "end":
        raise CallFailed("a stream came without its end")
    return "".join(response.delta.text for response in responses if response.WhichOneof("event") == "delta")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
    return body
