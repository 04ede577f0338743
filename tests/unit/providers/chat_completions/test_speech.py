"""Answers in sound: asked for where a model speaks, read whole and in pieces, and named in the next turn."""

import json
from base64 import b64encode

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    GenerationConfig,
    MediaKind,
    MediaPart,
    Message,
    Modality,
    Role,
    TextPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI, OPENAI_RESPONSES
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.chat_completions.speech import speaks, type_of
from llmproxy_grpc.providers.openai_models import adapt_to_model
from llmproxy_grpc.providers.responses_api.features import features_of as responses_features_of
from tests.providers.conversations import ask
from tests.unit.providers.chat_completions.chunks import answer, delta

NAMES = ("openai",)
FEATURES = features_of(OPENAI, NAMES)
WANTED = GenerationConfig(output_modalities=(Modality.TEXT, Modality.AUDIO))
PCM = "audio/pcm;rate=24000"


def body(request, *, stream=False):
    adapted = adapt_to_model(request, FEATURES, "gpt-audio")
    assert adapted.unsupported == ()
    return json.loads(RequestEncoder(OPENAI, NAMES).encode(adapted.request, "gpt-audio", stream=stream))


def b64(data):
    return b64encode(data).decode()


@pytest.mark.parametrize(
    ("model", "does"),
    [
        ("gpt-4o-audio-preview-2025-06-03", True),
        ("gpt-4o-mini-audio-preview", True),
        ("gpt-audio", True),
        ("gpt-audio-mini", True),
        ("openai/gpt-audio-1.5", True),
        ("gpt-4o", False),
        ("gpt-4o-transcribe", False),
        ("gpt-audiobook", False),
        ("", False),
    ],
)
def test_a_models_name_tells_whether_it_speaks(model, does):
    assert speaks(model) is does
    named = [found.field for found in adapt_to_model(ask(generation=WANTED), FEATURES, model).unsupported]
    assert named == ([] if does else ["generation.output_modalities"])


def test_the_responses_api_answers_with_no_sound():
    features = responses_features_of(OPENAI_RESPONSES, NAMES)
    (found,) = adapt_to_model(ask(generation=WANTED), features, "gpt-audio").unsupported
    assert found.field == "generation.output_modalities"


@pytest.mark.parametrize(("stream", "form"), [(False, "wav"), (True, "pcm16")])
def test_sound_is_asked_for_with_its_text(stream, form):
    sent = body(ask(generation=WANTED), stream=stream)
    assert sent["modalities"] == ["text", "audio"]
    assert sent["audio"] == {"voice": "alloy", "format": form}
    assert "audio" not in body(ask(generation=GenerationConfig(output_modalities=(Modality.TEXT,))))


def test_options_choose_the_voice_and_the_format():
    options = {"openai": {"audio": {"voice": "marin"}}}
    request = ask(generation=WANTED, provider_options=options)
    assert body(request)["audio"] == {"voice": "marin", "format": "wav"}
    assert type_of(request, NAMES, stream=False) == "audio/wav"
    request = ask(generation=WANTED, provider_options={"openai": {"audio": {"format": "mp3"}}})
    assert body(request)["audio"] == {"voice": "alloy", "format": "mp3"}
    assert type_of(request, NAMES, stream=False) == "audio/mpeg"
    assert body(ask(provider_options=options))["audio"] == {"voice": "marin"}


STREAM = (
    delta(role="assistant", content=None, audio={"id": "audio_1", "transcript": "Hi"}),
    delta(audio={"data": b64(b"one")}),
    delta(audio={"transcript": " there"}),
    delta(audio={"data": b64(b"two")}),
    delta(audio={"expires_at": 1}),
    delta("stop"),
)


def whole(audio):
    said = {"choices": [{"message": {"content": None, "audio": audio}, "finish_reason": "stop"}]}
    reader = ResponseReader(Expectation(model="m"), new_id=lambda: "new")
    return reader.read(decode_answer(json.dumps(said).encode()), request_id="r").candidates[0].message


def test_a_stream_gives_each_piece_of_sound_as_it_comes_and_one_text():
    text, *sounds = answer(*STREAM, audio_type=PCM).candidates[0].message.parts
    assert text == TextPart(text="Hi there")
    assert [(sound.kind, sound.data, sound.media_type) for sound in sounds] == [
        (MediaKind.AUDIO, b"one", PCM),
        (MediaKind.AUDIO, b"two", PCM),
    ]
    assert all(sound.continuity_token for sound in sounds)


def test_a_whole_answer_has_its_text_and_its_sound():
    text, sound = whole({"id": "audio_1", "data": b64(b"x"), "transcript": "Hi", "expires_at": 1}).parts
    assert text == TextPart(text="Hi")
    assert (sound.data, sound.media_type) == (b"x", "audio/wav")


@pytest.mark.parametrize("audio", [{}, [], "x", {"id": 7}, {"data": ""}, {"transcript": None, "data": 7}])
def test_sound_that_is_none_is_left_out(audio):
    assert whole(audio).parts == ()


def test_sound_that_cannot_be_read_is_an_error():
    with pytest.raises(UpstreamProtocolError):
        whole({"id": "audio_1", "data": "a"})


@pytest.mark.parametrize("said", [whole({"id": "a1", "data": b64(b"x"), "transcript": "Hi"}).parts, None])
def test_the_next_turn_names_the_sound_instead_of_its_words(said):
    parts = said or answer(*STREAM, audio_type=PCM).candidates[0].message.parts
    messages = (Message(Role.USER, (TextPart(text="?"),)), Message(Role.ASSISTANT, parts))
    sent = body(ask(messages=messages, generation=WANTED))["messages"][1]
    assert sent == {"role": "assistant", "audio": {"id": "a1" if said else "audio_1"}}


def test_sound_of_another_target_is_named_and_its_words_stay():
    foreign = MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav")
    messages = (Message(Role.ASSISTANT, (TextPart(text="Hi"), foreign)), Message(Role.USER, (TextPart(text="?"),)))
    adapted = adapt_to_model(ask(messages=messages), FEATURES, "gpt-audio")
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[1].audio"]
    assert adapted.request.messages[0].parts == (TextPart(text="Hi"),)


def test_a_model_that_does_not_speak_takes_no_sound_of_its_own():
    own = MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav", continuity_token=b"{}")
    request = ask(messages=(Message(Role.ASSISTANT, (own,)),))
    assert [found.field for found in adapt(request, FEATURES).unsupported] == ["messages[0].parts[0].audio"]
