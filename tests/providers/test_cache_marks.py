"""Cache hints of the kind openai over a real connection: on what can be marked, else refused by their paths."""

from typing import Any

import pytest

from llmproxy_grpc.messages import CacheHint, Message, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds import openai, responses

HINT = CacheHint()
CHAT = openai.KIND, {"preset": "openrouter"}, "m"
RESPONSES = responses.KIND, {}, "gpt-5.6"
CALL = ToolCallPart(id="c1", name="f", arguments_json="{}", cache_hint=HINT)
RESULT = ToolResultPart(tool_call_id="c1", content=(TextPart(text="a"), TextPart(text="b")), cache_hint=HINT)
MESSAGES = (
    Message(Role.USER, (TextPart(text="?", cache_hint=HINT),)),
    Message(Role.ASSISTANT, (ReasoningPart(text="Hm.", cache_hint=HINT), TextPart(text="So.", cache_hint=HINT), CALL)),
    Message(Role.TOOL, (RESULT, ToolResultPart(tool_call_id="c1", cache_hint=HINT))),
)


def marked(value: Any) -> list[str]:
    """The texts of all marked parts, deep down."""
    if isinstance(value, list):
        return [text for item in value for text in marked(item)]
    if not isinstance(value, dict):
        return []
    own = [value["text"]] if value.keys() & {"cache_control", "prompt_cache_breakpoint"} else []
    return own + [text for item in value.values() for text in marked(item)]


@pytest.mark.parametrize(
    ("case", "texts", "refused"), [(CHAT, ["?", "So.", "b"], ["0", "2"]), (RESPONSES, ["?", "b"], ["0", "1", "2"])]
)
async def test_a_hint_marks_a_part_or_is_refused_by_its_path(upstream, http, case, texts, refused):
    kind, config, model = case
    provider = await kind.provider(upstream, http, **config)
    adapted = provider.adapt(ask(messages=MESSAGES), model)
    of_the_answer = [f"messages[1].parts[{place}].cache_hint" for place in refused]
    assert [found.field for found in adapted.unsupported] == [*of_the_answer, "messages[2].parts[1].cache_hint"]
    upstream.script(Answer.json(kind.answer("x")))
    await provider.chat(adapted.request, model)
    assert marked(upstream.requests[0].json()) == texts


async def test_a_result_keeps_the_mark_that_its_last_part_has(upstream, http):
    provider = await openai.KIND.provider(upstream, http, preset="openrouter")
    last = TextPart(text="x", cache_hint=CacheHint(3600))
    result = ToolResultPart(tool_call_id="c", content=(last,), cache_hint=HINT)
    adapted = provider.adapt(ask(messages=(Message(Role.TOOL, (result,)),)), "m")
    assert adapted.request.messages[0].parts[0].content == (last,)
    assert adapted.unsupported == ()
