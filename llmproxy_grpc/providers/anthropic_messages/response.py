"""A whole answer as a ProviderResponse."""

from collections.abc import Callable, Iterator

from msgspec import Raw

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    Candidate,
    Message,
    OpaquePart,
    Part,
    ProviderResponse,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
)
from llmproxy_grpc.providers.anthropic_messages.citations import listed, read_citations
from llmproxy_grpc.providers.anthropic_messages.extra_fields import call_token, citations_token
from llmproxy_grpc.providers.anthropic_messages.finish import finish_reason, metadata
from llmproxy_grpc.providers.anthropic_messages.shapes import ANSWER, BLOCK, OBJECT, Block
from llmproxy_grpc.providers.anthropic_messages.usage import read_usage
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode, decode_whole
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from llmproxy_grpc.providers.tool_arguments import as_text


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode_whole(data, ANSWER)
    if answer.error is not None or answer.type == "error":
        raise reply.failed(data)
    if answer.content is None or not answer.stop_reason:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    parts = tuple(_parts(answer.content, new_id=reply.new_id, show=reply.request.shows_thinking))
    told = metadata(
        model=answer.model,
        asked=reply.model,
        usage=answer.usage,
        stop_details=answer.stop_details,
        container=answer.container,
        context_management=answer.context_management,
    )
    return ProviderResponse(
        candidates=(
            Candidate(
                0,
                Message(Role.ASSISTANT, parts),
                finish_reason(answer.stop_reason, answer.stop_sequence),
                answer.stop_reason,
                answer.stop_sequence or "",
            ),
        ),
        usage=read_usage(answer.usage),
        upstream_request_id=reply.request_id or identifier(answer.id),
        provider_metadata=told,
    )


def _parts(content: list[Raw], *, new_id: Callable[[], str], show: bool) -> Iterator[Part]:
    for raw in content:
        data = bytes(raw)
        block = decode(data, BLOCK)
        match block.type:
            case "text":
                if block.text:
                    yield _text(block)
            case "tool_use":
                yield ToolCallPart(
                    id=identifier(block.id) or new_id(),
                    name=block.name or "",
                    arguments_json=as_text(block.input),
                    continuity_token=call_token(caller=block.caller, toolset=block.toolset_name),
                )
            case "thinking":
                yield _thinking(block, show=show)
            case "redacted_thinking":
                yield ReasoningPart(redacted=True, continuity_token=redacted_token(block.data or ""))
            case kind:
                value = decode(data, OBJECT)
                value.pop("type", None)
                yield OpaquePart(provider_kind="anthropic", type=kind, value=value)


def _text(block: Block[Raw]) -> TextPart:
    text, citations = block.text or "", listed(block.citations)
    return TextPart(
        text=text, citations=read_citations(citations, len(text)), continuity_token=citations_token(citations)
    )


def _thinking(block: Block[Raw], *, show: bool) -> ReasoningPart:
    text, signature = block.thinking or "", block.signature or ""
    if show and text:
        return ReasoningPart(text=text, continuity_token=signature_token(signature))
    return ReasoningPart(redacted=True, continuity_token=hidden_token(text, signature))
