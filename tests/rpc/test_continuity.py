"""A tool loop over two turns: continuity tokens through the API and back, and what becomes of them on failover."""

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    FinishReason,
    Message,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    Role,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    UpstreamEnd,
    UpstreamStart,
)
from tests.fakes.requests import chat_request, stream_request
from tests.fakes.scripted_provider import ScriptedProvider
from tests.rpc.test_chat import TWO

CALL = ToolCallPart(id="c1", name="look", arguments_json='{"a": 1}', continuity_token=b"\x00thought\xff")
THINKING = ReasoningPart(text="Let me look.", continuity_token=b"signature")
HIDDEN = ReasoningPart(redacted=True, continuity_token=b"hidden")
PARTS = (THINKING, HIDDEN, CALL)


def answer() -> ProviderResponse:
    return ProviderResponse((Candidate(0, Message(Role.ASSISTANT, PARTS), FinishReason.TOOL_CALLS, "tool_use"),))


def streamed() -> list:
    return [
        [UpstreamStart()],
        [ReasoningDelta(text="Let me "), ReasoningDelta(text="look.")],
        [ReasoningDelta(text="", continuity_token=b"signature")],
        [ReasoningDelta(part_index=1, text="", redacted=True, continuity_token=b"hidden")],
        [ToolCallDelta(part_index=2, id="c1", name="look", continuity_token=b"\x00thought\xff")],
        [ToolCallDelta(part_index=2, arguments_json='{"a": 1}')],
        [CandidateFinish(0, FinishReason.TOOL_CALLS, "tool_use"), UpstreamEnd()],
    ]


def next_turn(said: content_pb2.Message) -> chat_pb2.ChatRequest:
    """The same question, what the model said, and the result of the tool that it called."""
    request = chat_request()
    request.messages.append(said)
    result = content_pb2.ToolResult(tool_call_id="c1", content=[content_pb2.ContentPart(text="42")])
    request.messages.add(role=content_pb2.ROLE_TOOL, parts=[content_pb2.ContentPart(tool_result=result)])
    return request


async def first_turn(server, *, stream: bool) -> content_pb2.Message:
    if not stream:
        return (await server.stub.Chat(chat_request())).candidates[0].message
    events = [event async for event in server.stub.Stream(stream_request(include_final_response=True))]
    return events[-1].end.final_response.candidates[0].message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_gets_back_exactly_what_it_gave(serve, stream):
    async with serve() as server:
        server.scripted.chats.append(answer())
        server.scripted.streams.append(streamed())
        said = await first_turn(server, stream=stream)
        assert said.parts[0].continuity_token not in {b"", b"signature"}
        server.scripted.chats.clear()
        second = await server.stub.Chat(next_turn(said))
        assert not second.warnings
        asked = server.scripted.requests[-1].messages
        assert asked[1].parts == PARTS
        assert isinstance(asked[2].parts[0], ToolResultPart)


async def test_another_target_gets_neither_tokens_nor_hidden_thinking_and_the_caller_is_warned(serve):
    providers = {"a": ScriptedProvider("a"), "b": ScriptedProvider("b")}
    async with serve(TWO, providers=providers) as server:
        providers["a"].chats.append(answer())
        said = await first_turn(server, stream=False)
        providers["a"].chats.append(UpstreamServerError("It failed."))
        second = await server.stub.Chat(next_turn(said))
        assert second.route.provider == "b"
        assert [(warning.code, warning.field) for warning in second.warnings] == [
            ("CONTINUITY_DROPPED", "messages[1].parts[0].continuity_token")
        ]
        assert providers["b"].requests[-1].messages[1].parts == (
            ReasoningPart(text="Let me look."),
            ToolCallPart(id="c1", name="look", arguments_json='{"a": 1}'),
        )
