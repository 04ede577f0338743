"""Fields of the API whose feature is not built yet: ignoring one would be worse than refusing it."""

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.errors import FieldViolation


def features_off(request: pb.ChatRequest, *, prefix: str = "") -> list[FieldViolation]:
    """Names every set field whose feature this version lacks.

    Args:
        request: Any request.
        prefix: Stands before every path: `chat.` for the request of a StreamRequest.
    """
    found = []
    if request.idempotency_key:
        found.append(
            FieldViolation(f"{prefix}idempotency_key", "this version stores no answers to repeat; leave it unset")
        )
    if request.cache:
        found.append(FieldViolation(f"{prefix}cache", "this version has no response cache; leave it unset"))
    return found
