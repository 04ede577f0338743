"""Every kind that speaks HTTP: what of a request is sent, and what is named that cannot be."""

import re

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, collected
from tests.providers.kinds import openai

TEXTS = ["One", " two", " three"]
FULL = "One two three"
PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")


async def test_calls_can_be_forbidden(kind, provider, upstream):
    upstream.handler = kind.respond
    request = ask(tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    adapted = provider.adapt(request, kind.model)
    assert adapted.unsupported == ()
    await provider.chat(adapted.request, kind.model)
    sent = upstream.requests[-1].body
    assert b'"none"' in sent.lower() or b'"f"' not in sent


@pytest.mark.parametrize("name", ["a.b", "x" * 65, "x" * 128, "1st"])
async def test_a_function_is_sent_by_its_name_or_named_if_that_is_refused(kind, provider, upstream, name):
    upstream.script(Answer.json(kind.answer(FULL)))
    takes = provider.features(kind.model).function_names.takes(name)
    request = ask(
        tools=(FunctionTool("f"), FunctionTool(name)), tool_choice=ToolChoice(ToolMode.REQUIRED, function_name=name)
    )
    adapted = provider.adapt(request, kind.model)
    assert ("tools[1].function.name" in [found.field for found in adapted.unsupported]) is not takes
    assert takes or adapted.request.tool_choice is None or not adapted.request.tool_choice.function_name
    await provider.chat(adapted.request, kind.model)
    assert (name.encode() in upstream.requests[-1].body) is takes


async def test_a_name_that_another_model_made_up_becomes_one_that_is_taken(kind, provider, upstream):
    """Models call `multi_tool_use.parallel` and the like: the conversation has to go on."""
    upstream.script(Answer.json(kind.answer(FULL)))
    made_up = "multi_tool_use.parallel"
    takes = provider.features(kind.model).function_names.takes(made_up)
    said = (TextPart(text="Hm."), ToolCallPart(id="call_1", name=made_up, arguments_json="{}"))
    result = ToolResultPart(tool_call_id="call_1", name=made_up, content=(TextPart(text="No."),))
    messages = (*ask().messages, Message(Role.ASSISTANT, said), Message(Role.TOOL, (result,)))
    adapted = provider.adapt(ask(messages=messages, tools=(FunctionTool("f"),)), kind.model)
    assert adapted.unsupported == ()
    changed = [] if takes else ["messages[1].parts[1].tool_call.name"]
    assert [found.field for found in adapted.changes if not found.dropped] == changed
    await provider.chat(adapted.request, kind.model)
    assert (made_up.encode() in upstream.requests[-1].body) is takes
    assert (b"multi_tool_use_parallel" in upstream.requests[-1].body) is not takes


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63)])
async def test_a_seed_is_sent_to_the_digit_or_named(kind, provider, upstream, seed):
    upstream.script(Answer.json(kind.answer(FULL)))
    adapted = provider.adapt(ask(generation=GenerationConfig(seed=seed)), kind.model)
    features = provider.features(kind.model)
    takes = "seed" in features.settings and seed in features.seeds
    assert [found.field for found in adapted.unsupported] == ([] if takes else ["generation.seed"])
    await provider.chat(adapted.request, kind.model)
    assert bool(re.search(rb'seed": ?%d\b' % seed, upstream.requests[-1].body)) is takes


async def test_that_a_tool_failed_is_sent_or_named_but_no_reason_to_refuse(kind, provider, upstream):
    told = provider.features(kind.model).result_errors
    called = Message(Role.ASSISTANT, (ToolCallPart(id="call_1", name="f", arguments_json="{}"),))
    bodies = []
    for failed in (False, True):
        result = ToolResultPart(tool_call_id="call_1", content=(TextPart(text="No."),), is_error=failed)
        messages = (*ask().messages, called, Message(Role.TOOL, (result,)))
        adapted = provider.adapt(ask(messages=messages, tools=(FunctionTool("f"),)), kind.model)
        assert adapted.unsupported == ()
        named = [found.field for found in adapted.changes if found.dropped]
        assert named == (["messages[2].parts[0].tool_result.is_error"] if failed and not told else [])
        upstream.script(Answer.json(kind.answer(FULL)))
        await provider.chat(adapted.request, kind.model)
        bodies.append(upstream.requests[-1].body)
    assert (bodies[0] != bodies[1]) is told


async def test_the_end_users_id_is_sent_where_it_is_said_to_be_and_never_a_reason_to_refuse(kind, provider, upstream):
    adapted = provider.adapt(ask(end_user_id="user-4711"), kind.model)
    assert (adapted.unsupported, adapted.changes) == ((), ())
    upstream.script(Answer.json(kind.answer(FULL)))
    await provider.chat(adapted.request, kind.model)
    assert (b"user-4711" in upstream.requests[-1].body) is provider.features(kind.model).end_user


async def test_how_closely_to_look_at_a_picture_is_sent_or_named(kind, provider, upstream):
    upstream.handler = kind.respond
    features = provider.features(kind.model)
    bodies = []
    for detail in MediaDetail:
        picture = replace(PICTURE, detail=detail)
        messages = (Message(Role.USER, (picture, TextPart(text="?"))),)
        adapted = provider.adapt(ask(messages=messages), kind.model)
        named = [found.field for found in adapted.unsupported]
        if MediaKind.IMAGE not in features.media:
            assert named == ["messages[0].parts[0].image"]
        elif detail and not features.media[MediaKind.IMAGE].detail:
            assert named == ["messages[0].parts[0].image.detail"]
        else:
            assert named == []
        upstream.script(kind.streaming(kind.stream(TEXTS, ("5", "7"))))
        await collected(provider.stream(adapted.request, kind.model))
        bodies.append(upstream.requests[-1].body)
    told = MediaKind.IMAGE in features.media and bool(features.media[MediaKind.IMAGE].detail)
    assert len(set(bodies)) == (len(MediaDetail) if told else 1)


async def test_pictures_in_instructions_are_refused_by_their_paths_where_those_are_texts_alone(kind, provider):
    messages = tuple(Message(role, (TextPart(text="S"), PICTURE)) for role in (Role.SYSTEM, Role.DEVELOPER))
    adapted = provider.adapt(ask(messages=(*messages, *ask().messages)), kind.model)
    # Of a server that nobody has described, as here of the kind openai, nobody knows.
    taken = kind.name in {"ollama", "responses", "openai"}
    named = [] if taken else [f"messages[{turn}].parts[1].image" for turn in (0, 1)]
    assert [found.field for found in adapted.unsupported] == named
    assert [PICTURE in message.parts for message in adapted.request.messages] == [taken, taken, False]


async def test_pictures_in_instructions_are_refused_for_openai_itself(upstream, http):
    provider = await openai.KIND.provider(upstream, http, preset="openai")
    adapted = provider.adapt(ask(messages=(Message(Role.SYSTEM, (PICTURE,)),)), "gpt-5.6")
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[0].image"]


@pytest.mark.parametrize("place", ["prompt", "answer", "result"])
async def test_a_block_of_its_own_is_sent_wherever_it_stands_or_named(kind, provider, upstream, place):
    text, block = TextPart(text="x"), OpaquePart(provider_kind=kind.kind, type="thing", value={"mark": "MARK"})
    asked, said, given = ((text, block) if each == place else (text,) for each in ("prompt", "answer", "result"))
    call = ToolCallPart(id="call_0001", name="f", arguments_json="{}")
    result = ToolResultPart(tool_call_id="call_0001", content=given)
    messages = (Message(Role.USER, asked), Message(Role.ASSISTANT, (*said, call)), Message(Role.TOOL, (result,)))
    adapted = provider.adapt(ask(messages=messages), kind.model)
    upstream.script(Answer.json(kind.answer(FULL)))
    await provider.chat(adapted.request, kind.model)
    assert len(adapted.unsupported) + upstream.requests[-1].body.count(b"MARK") == 1


async def test_what_is_named_has_the_callers_numbers_whatever_was_left_out_before_it(kind, provider):
    foreign, hint = OpaquePart(provider_kind="another", type="thing", value={}), CacheHint(3600)
    said = [(Role.SYSTEM, TextPart(text="x")), (Role.SYSTEM, PICTURE), (Role.USER, TextPart(text=" ", cache_hint=hint))]
    said += [(Role.USER, TextPart(text=str(number), cache_hint=hint)) for number in range(5)]
    said += [(Role.ASSISTANT, ToolCallPart(id=each, name="f", arguments_json="{}")) for each in ("a", "b")]
    marked = ToolResultPart(tool_call_id="a", content=(TextPart(text="1", cache_hint=hint), TextPart(text="2")))
    said += [(Role.TOOL, marked), (Role.ASSISTANT, TextPart(text="y")), (Role.USER, TextPart(text="z"))]

    def named(*before: OpaquePart) -> list[str]:
        messages = tuple(Message(role, (*before, _behind(before, part))) for role, part in said)
        adapted = provider.adapt(ask(messages=messages), kind.model)
        fields = [found.field for found in (*adapted.unsupported, *adapted.changes)]
        return sorted(field for field in fields if not field.endswith(".opaque"))

    moved = [re.sub(r"(parts|content)\[(\d+)\]", lambda at: f"{at[1]}[{int(at[2]) + 1}]", each) for each in named()]
    assert named(foreign) == moved


def _behind(before: tuple[OpaquePart, ...], part: Part) -> Part:
    """The part; a result has the same before its own content."""
    return replace(part, content=(*before, *part.content)) if isinstance(part, ToolResultPart) else part


async def test_instructions_alone_are_a_conversation_everywhere(kind, provider, upstream):
    upstream.script(Answer.json(kind.answer(FULL)))
    texts = ("Be brief.", "Write a poem.")
    messages = tuple(Message(Role.SYSTEM, (TextPart(text=text),)) for text in texts)
    adapted = provider.adapt(ask(messages=messages), kind.model)
    assert adapted.unsupported == ()
    outside = kind.kind in {"anthropic", "gemini", "bedrock"}
    assert [found.field for found in adapted.changes] == (["messages[1].role"] if outside else [])
    await provider.chat(adapted.request, kind.model)
    assert [text.encode() in upstream.requests[-1].body for text in texts] == [True, True]
    assert not outside or kind.asked(upstream.requests[-1]) == "Write a poem."


async def test_words_of_the_model_may_come_first_or_are_named(kind, provider, upstream):
    upstream.script(Answer.json(kind.answer(FULL)))
    messages = (Message(Role.ASSISTANT, (TextPart(text="What can I do?"),)), *ask("Sing.").messages)
    adapted = provider.adapt(ask(messages=messages), kind.model)
    refused = kind.kind == "bedrock"
    assert [found.field for found in adapted.unsupported] == (["messages[0].role"] if refused else [])
    await provider.chat(adapted.request, kind.model)
    assert (b"What can I do?" in upstream.requests[-1].body) is not refused
    assert b"Sing." in upstream.requests[-1].body
