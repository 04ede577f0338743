"""Pictures that a model answers with, by Chat Completions."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import GenerationConfig, MediaKind, MediaPart, Message, Modality, Role, TextPart
from llmproxy_grpc.providers.presets import PRESETS
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import sse
from tests.providers.kinds.openai import KIND

INLINE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
REMOTE = {"type": "image_url", "index": 1, "image_url": {"url": "https://example.com/a.png"}}
PICTURES = (
    MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
    MediaPart(kind=MediaKind.IMAGE, uri="https://example.com/a.png"),
)


def whole(images: Any) -> Answer:
    message = {"role": "assistant", "content": "Here.", "images": images}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return Answer.json(json.dumps(body).encode())


@pytest.mark.parametrize("preset", ["openrouter", "litellm"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_pictures_are_parts_of_the_answer_and_go_back(upstream, http, preset, streaming):
    gateway = await KIND.provider(upstream, http, preset=preset)
    request = ask(generation=GenerationConfig(output_modalities=(Modality.TEXT, Modality.IMAGE)))
    adapted = gateway.adapt(request, "m")
    assert not adapted.unsupported
    if streaming:
        deltas = [{"content": "Here."}, {"content": "", "images": [INLINE]}, {"images": [REMOTE]}]
        frames = [sse({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
        last = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        upstream.script(KIND.streaming([*frames, last]))
        answer = assembled(await collected(gateway.stream(adapted.request, "m")))
    else:
        upstream.script(whole([INLINE, REMOTE]))
        answer = await gateway.chat(adapted.request, "m")
    said = answer.candidates[0].message
    assert said.parts == (TextPart(text="Here."), *PICTURES)
    assert upstream.requests[0].json()["modalities"] == ["image", "text"]
    upstream.script(whole(None))
    turns = (*request.messages, said, Message(Role.USER, (TextPart(text="And blue?"),)))
    adapted = gateway.adapt(ask(messages=turns), "m")
    assert not adapted.unsupported
    await gateway.chat(adapted.request, "m")
    sent = upstream.requests[1].json()
    urls = [INLINE["image_url"], REMOTE["image_url"]]
    images = [{"type": "image_url", "image_url": url} for url in urls]
    assert sent["messages"][1] == {"role": "assistant", "content": "Here.", "images": images}
    assert "modalities" not in sent


@pytest.mark.parametrize("odd", [7, "x", {}, [7], [{}], [{"image_url": 7}], [{"image_url": {"url": ""}}], []])
async def test_what_is_no_picture_is_passed_over(upstream, http, odd):
    upstream.script(whole(odd))
    answer = await (await KIND.provider(upstream, http, preset="openrouter")).chat(ask(), "m")
    assert answer.candidates[0].message.parts == (TextPart(text="Here."),)


@pytest.mark.parametrize("address", ["data:image/png;base64,!", "data:nothing", "file:///etc/passwd"])
async def test_a_picture_that_cannot_be_read_is_the_providers_fault(upstream, http, address):
    upstream.script(whole([{"image_url": address}]))
    with pytest.raises(UpstreamProtocolError):
        await (await KIND.provider(upstream, http, preset="openrouter")).chat(ask(), "m")


async def test_servers_that_are_not_known_to_answer_with_pictures_get_none_back(upstream, http):
    server = await KIND.provider(upstream, http, preset="compatible")
    turns = (Message(Role.ASSISTANT, (TextPart(text="Here."), PICTURES[0])), Message(Role.USER, (TextPart(text="?"),)))
    adapted = server.adapt(ask(messages=turns), "m")
    assert [each.field for each in adapted.unsupported] == ["messages[0].parts[1].image"]
    assert not PRESETS["compatible"].quirks.image_answers
