"""The OPENAI_CHAT line of a record, made once when it is stored: most exports send it as it is."""

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats import render
from llmproxy_grpc.datasets.options import AS_RECORDED, Format
from llmproxy_grpc.datasets.skipping import Skipped
from llmproxy_grpc.wire import to_candidates, to_request


def openai_chat_line(request: pb.ChatRequest, response: pb.ChatResponse) -> tuple[bytes | None, str]:
    """The line, its end included, and no fault; or no line, and why."""
    example = Example(id=response.id, request=to_request(request), candidates=to_candidates(response.candidates))
    line = render(Format.OPENAI_CHAT, example, AS_RECORDED)
    return (None, line.reason.value) if isinstance(line, Skipped) else (line, "")
