"""The rules of a conversation's request as a whole."""

import re

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.call import check_call, check_model
from llmproxy_grpc.server.validation.conversation import check_messages
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.generation import check_generation
from llmproxy_grpc.server.validation.rules import check_word
from llmproxy_grpc.server.validation.tools import check_tool_choice, check_tools

_IDEMPOTENCY_KEY = re.compile(rf"[\x20-\x7e]{{1,{bounds.MAX_IDEMPOTENCY_KEY}}}")


def validate(request: pb.ChatRequest, *, prefix: str = "") -> list[FieldViolation]:
    """Names every field that breaks a rule of the API, empty if none does.

    Args:
        request: Any request, however odd.
        prefix: Stands before every path: `chat.` for the request of a StreamRequest.

    Returns:
        At most 50 violations, and one more that counts the rest.
    """
    found = Findings(prefix)
    check_model(found, request.model)
    check_messages(found, request.messages)
    tools = request.tools
    names = check_tools(found, tools) if tools else None
    if request.HasField("tool_choice"):
        check_tool_choice(found, request.tool_choice, names)
    if request.HasField("generation"):
        check_generation(found, request.generation)
    _check_identity(found, request)
    check_call(found, request)
    return found.violations()


def _check_identity(found: Findings, request: pb.ChatRequest) -> None:
    check_word(found, "conversation_id", request.conversation_id, bounds.MAX_ID)
    key = request.idempotency_key
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        found.add("idempotency_key", f"must be 1 to {bounds.MAX_IDEMPOTENCY_KEY} printable ASCII characters")
