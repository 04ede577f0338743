"""What the turns of a conversation become on Google's wire."""

import json

import pytest

from llmproxy_grpc.messages import (
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.generate_content.features import adapt_content
from llmproxy_grpc.providers.generate_content.history import ANY_SIGNATURE, OUR_ID
from llmproxy_grpc.providers.generate_content.request import encode_request
from tests.providers.conversations import ask
from tests.unit.providers.generate_content.encoding import THREE, TWO, body, contents, raw


def test_instructions_stand_outside_and_neighbours_are_one_turn():
    request = ask(
        messages=(
            Message(Role.SYSTEM, (TextPart(text="A"),)),
            Message(Role.USER, (TextPart(text="x"),)),
            Message(Role.USER, (TextPart(text="y"), TextPart(text=""))),
            Message(Role.DEVELOPER, (TextPart(text="B"),)),
            Message(Role.ASSISTANT, (TextPart(text="z"),)),
        )
    )
    assert body(request) == {
        "systemInstruction": {"parts": [{"text": "A"}, {"text": "B"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"text": "y"}]},
            {"role": "model", "parts": [{"text": "z"}]},
        ],
    }


CALLS = (
    ToolCallPart(id="fc1", name="f", arguments_json='{"n": 9007199254740993, "x": 1.0}', continuity_token=b"CiQB"),
    ToolCallPart(id=f"{OUR_ID}1", name="g", arguments_json=""),
)
RESULTS = (
    ToolResultPart(tool_call_id="fc1", content=(TextPart(text='{"a":  1.0}'),)),
    ToolResultPart(tool_call_id=f"{OUR_ID}1", content=(TextPart(text="plain"),)),
)


def test_calls_and_results_go_by_name_with_arguments_to_the_byte():
    request = ask(messages=(*ask().messages, Message(Role.ASSISTANT, CALLS), Message(Role.TOOL, RESULTS)))
    assert b'"args":{"n": 9007199254740993, "x": 1.0}' in raw(request, THREE)
    assert b'"response":{"a":  1.0}' in raw(request, THREE)
    assert body(request, THREE)["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "fc1", "name": "f", "args": {"n": 9007199254740993, "x": 1.0}},
                    "thoughtSignature": "CiQB",
                },
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "fc1", "name": "f", "response": {"a": 1.0}}},
                {"functionResponse": {"name": "g", "response": {"result": "plain"}}},
            ],
        },
    ]


def test_vertex_gets_no_ids_which_it_refuses():
    request = ask(messages=(Message(Role.ASSISTANT, CALLS), Message(Role.TOOL, RESULTS)))
    assert b'"id"' not in encode_request(request, THREE, vertex=True)


def test_a_result_has_the_name_of_its_call_whatever_it_is_called_itself():
    named = ToolResultPart(tool_call_id="fc1", name="otherwise")
    stranger = ToolResultPart(tool_call_id="?", name="h")
    *_, answered = contents(*ask().messages, Message(Role.ASSISTANT, CALLS), Message(Role.TOOL, (named, stranger)))
    parts = answered["parts"]
    assert [part["functionResponse"]["name"] for part in parts] == ["f", "h"]


def test_a_result_has_the_name_of_the_latest_call_before_it_where_ids_come_again():
    turns = [
        turn
        for name in ("f", "g")
        for turn in (
            Message(Role.ASSISTANT, (ToolCallPart(id="call_0", name=name, arguments_json="{}"),)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="call_0"),)),
        )
    ]
    answered = [turn["parts"][0]["functionResponse"]["name"] for turn in contents(*ask().messages, *turns)[2::2]]
    assert answered == ["f", "g"]


def test_results_stand_in_the_order_of_their_calls_since_of_one_function_nothing_else_tells_them_apart():
    ids = [f"{OUR_ID}{number}" for number in range(3)]
    calls = Message(Role.ASSISTANT, tuple(ToolCallPart(id=each, name="f", arguments_json="{}") for each in ids))
    results = [ToolResultPart(tool_call_id=each, content=(TextPart(text=each[-1]),)) for each in reversed(ids)]
    for answered in ([Message(Role.TOOL, tuple(results))], [Message(Role.TOOL, (each,)) for each in results]):
        *_, turn = contents(*ask().messages, calls, *answered)
        assert [part["functionResponse"]["response"]["result"] for part in turn["parts"]] == ["0", "1", "2"]


@pytest.mark.parametrize(("model", "signed"), [(TWO, False), (THREE, True)])
def test_calls_of_another_target_get_a_stand_in_where_the_model_wants_a_signature(model, signed):
    strangers = tuple(ToolCallPart(id=f"call_{n}", name="f", arguments_json="{}") for n in range(2))
    results = Message(Role.TOOL, tuple(ToolResultPart(tool_call_id=call.id) for call in strangers))
    _, called, _ = contents(*ask().messages, Message(Role.ASSISTANT, strangers), results, model=model)
    first, second = called["parts"]
    assert first.get("thoughtSignature") == (ANY_SIGNATURE if signed else None)
    assert "thoughtSignature" not in second


def test_errors_and_pictures_of_tools():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    result = ToolResultPart(tool_call_id="c", name="f", content=(TextPart(text="no"), picture), is_error=True)
    request = ask(messages=(Message(Role.TOOL, (result,)),))
    assert [found.field for found in adapt_content(request, TWO).unsupported] == [
        "messages[0].parts[0].tool_result.content[1].image"
    ]
    assert contents(Message(Role.TOOL, (result,)), model=THREE)[0]["parts"] == [
        {
            "functionResponse": {
                "id": "c",
                "name": "f",
                "response": {"error": "no"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}],
            }
        }
    ]


def test_media_thinking_and_blocks_of_its_own():
    message = Message(
        Role.ASSISTANT,
        (
            ReasoningPart(text="Hm.", continuity_token=b"CiQD"),
            ReasoningPart(text="of another target"),
            TextPart(text="", continuity_token=b"CiQE"),
            OpaquePart(provider_kind="gemini", type="executableCode", value={"language": "PYTHON", "code": "1"}),
        ),
    )
    assert contents(message)[0]["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "CiQD"},
        {"text": "", "thoughtSignature": "CiQE"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
    ]
    media = (
        MediaPart(kind=MediaKind.VIDEO, uri="gs://bucket/v.mp4", media_type="video/mp4"),
        MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/d"),
        MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav"),
    )
    assert contents(Message(Role.USER, media))[0]["parts"] == [
        {"fileData": {"fileUri": "gs://bucket/v.mp4", "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "https://example.test/d"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "eA=="}},
    ]


def test_pictures_that_the_model_made_go_back_to_it_with_their_signature():
    made = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png", continuity_token=b"CiQF")
    thought = OpaquePart(
        provider_kind="gemini",
        type="part",
        value={"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thought": True},
    )
    assert contents(Message(Role.ASSISTANT, (thought, made)))[0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thoughtSignature": "CiQF"},
    ]


def test_uploaded_files_names_and_how_closely_to_look():
    parts = (
        MediaPart(kind=MediaKind.DOCUMENT, file_id="files/abc", filename="a.pdf", media_type="application/pdf"),
        MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png", detail=MediaDetail.HIGH),
    )
    sent = contents(Message(Role.USER, parts), model=THREE)[0]["parts"]
    assert sent == [
        {
            "fileData": {
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                "mimeType": "application/pdf",
                "displayName": "a.pdf",
            }
        },
        {
            "inlineData": {"mimeType": "image/png", "data": "eA=="},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
        },
    ]
    assert "mediaResolution" not in contents(Message(Role.USER, parts), model=TWO)[0]["parts"][1]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("gs://bucket/a/clip.mp4", "video/mp4"),
        ("https://example.test/d.PDF?x=a.png#b.gif", "application/pdf"),
        ("https://example.test/photo.webp", "image/webp"),  # which Python's own table leaves to the machine's
        ("https://example.com", None),
        ("https://[odd/i", None),
        ("gs://bucket/pdf", None),
        ("gs://bucket.png/i", None),
    ],
)
def test_the_type_of_media_by_address_is_what_the_caller_says_else_what_the_address_tells(uri, told):
    for media_type, sent in (("", told), ("image/webp", "image/webp")):
        part = MediaPart(kind=MediaKind.IMAGE, uri=uri, media_type=media_type)
        data = contents(Message(Role.USER, (part,)))[0]["parts"][0]["fileData"]
        assert data.get("mimeType") == sent


@pytest.mark.parametrize(
    ("part", "vertex", "lacks"),
    [
        (MediaPart(kind=MediaKind.IMAGE, uri="ftp://example.test/i"), False, True),
        (MediaPart(kind=MediaKind.IMAGE, uri="gs://bucket/i"), False, False),
        (MediaPart(kind=MediaKind.IMAGE, file_id="abc"), True, True),
        (MediaPart(kind=MediaKind.IMAGE, file_id="abc"), False, False),
    ],
)
def test_media_from_elsewhere_is_refused_by_its_name(part, vertex, lacks):
    adapted = adapt_content(ask(messages=(Message(Role.USER, (part,)),)), THREE, vertex=vertex)
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[0].image"] * lacks


@pytest.mark.parametrize("vertex", [True, False])
def test_results_of_tools_hold_media_by_reference_at_vertex_alone(vertex):
    picture = MediaPart(kind=MediaKind.IMAGE, uri="gs://bucket/i.png", media_type="image/png")
    result = ToolResultPart(tool_call_id="c", name="f", content=(picture,))
    adapted = adapt_content(ask(messages=(Message(Role.TOOL, (result,)),)), THREE, vertex=vertex)
    sent = json.loads(encode_request(adapted.request, THREE, vertex=vertex))["contents"][0]["parts"][0]
    parts = [{"fileData": {"fileUri": "gs://bucket/i.png", "mimeType": "image/png"}}] if vertex else None
    assert sent["functionResponse"].get("parts") == parts
    assert bool(adapted.unsupported) is not vertex
