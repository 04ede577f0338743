"""The kind ollama over a real connection: what it is told of models, and its errors."""

import pytest

from llmproxy_grpc.errors import InvalidRequest, ModelNotFound, UpstreamProtocolError
from llmproxy_grpc.messages import (
    Capability,
    EmbedRequest,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    Modality,
    ReasoningConfig,
    TextPart,
)
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds.ollama import KIND

TAGS = b'{"models":[{"name":"llava:7b","model":"llava:7b","digest":"d1"},{"name":"odd"},{}]}'
SHOWN = b'{"capabilities":["completion","vision","tools","thinking"],"model_info":{"llama.context_length":4096}}'


async def test_models_are_listed_with_what_the_server_tells_of_each_once(upstream, http):
    upstream.script(Answer.json(TAGS), Answer.json(SHOWN), Answer.json(b'{"error":"no"}', status=500))
    ollama = await KIND.provider(upstream, http)
    llava, odd = await ollama.list_models()
    assert (llava.name, llava.max_input_tokens) == ("llava:7b", 4096)
    assert llava.capabilities == {Capability.CHAT, Capability.TOOLS, Capability.REASONING, Capability.JSON_SCHEMA}
    assert llava.input_modalities == {Modality.TEXT, Modality.IMAGE}
    assert (odd.name, odd.capabilities) == ("odd", None)
    upstream.script(Answer.json(TAGS), Answer.json(b'{"model_info":{}}'))
    again, odd = await ollama.list_models()
    assert again is llava
    assert [request.json()["model"] for request in upstream.requests if request.path == "/api/show"] == [
        "llava:7b",
        "odd",
        "odd",
    ]


async def test_a_key_is_optional(upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    for key in (None, "test-key"):
        await (await KIND.provider(upstream, http, api_key=key)).chat(ask(), "m")
    assert [request.headers.get("authorization") for request in upstream.requests] == [None, "Bearer test-key"]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [(404, "model 'x' not found", ModelNotFound), (400, "does not support tools", InvalidRequest)],
)
async def test_errors_are_strings(upstream, http, status, text, kind):
    upstream.script(Answer.json(f'{{"error":"{text}"}}'.encode(), status=status))
    with pytest.raises(kind) as caught:
        await (await KIND.provider(upstream, http)).chat(ask(), "x")
    assert caught.value.fault.message == text


async def test_fewer_vectors_than_inputs_cannot_be_read(upstream, http):
    upstream.script(Answer.json(b'{"embeddings":[[1.0]]}'))
    with pytest.raises(UpstreamProtocolError):
        await (await KIND.provider(upstream, http)).embed(
            EmbedRequest("m", (TextPart(text="a"), TextPart(text="b"))), "m"
        )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("include", [None, False])
async def test_thinking_goes_back_whether_it_was_shown_or_not(upstream, http, stream, include):
    ollama = await KIND.provider(upstream, http)
    question = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=include)))
    thought = b'{"message":{"thinking":"Hm, \\ud83e\\udd9c."},"done":false}\n'
    last = b'{"message":{"content":"Hi"},"done":true,"done_reason":"stop"}\n'
    if stream:
        upstream.script(KIND.streaming([thought, last]))
        answer = assembled(await collected(ollama.stream(question, "m")))
    else:
        upstream.script(Answer.json(last.replace(b'"content"', b'"thinking":"Hm, \\ud83e\\udd9c.","content"')))
        answer = await ollama.chat(question, "m")
    said = answer.candidates[0].message
    assert ("Hm" in "".join(part.text for part in said.parts)) is (include is not False)
    upstream.script(Answer.json(KIND.answer("Bye")))
    await ollama.chat(ask(messages=(*question.messages, said)), "m")
    assert upstream.requests[-1].json()["messages"][1] == {
        "role": "assistant",
        "content": "Hi",
        "thinking": "Hm, \U0001f99c.",
    }


async def test_an_answer_that_is_done_without_a_reason_has_none_made_up(upstream, http):
    ollama = await KIND.provider(upstream, http)
    calls = ',"tool_calls":[{"function":{"name":"f","arguments":{}}}]'
    for more, reason in (("", FinishReason.STOP), (calls, FinishReason.TOOL_CALLS)):
        body = f'{{"message":{{"content":"Hi"{more}}},"done":true}}\n'.encode()
        upstream.script(Answer.json(body), KIND.streaming([body]))
        asked = ask(tools=(FunctionTool("f"),))
        for answer in (await ollama.chat(asked, "m"), assembled(await collected(ollama.stream(asked, "m")))):
            candidate = answer.candidates[0]
            assert (candidate.finish_reason, candidate.raw_finish_reason) == (reason, "")
