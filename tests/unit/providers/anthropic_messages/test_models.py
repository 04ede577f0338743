import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.anthropic_messages.models import read_page
from llmproxy_grpc.providers.provider import UpstreamModel


def test_a_page_tells_limits_capabilities_and_where_the_next_begins():
    body = b"""{"data": [
        {"id": "claude-opus-5", "max_input_tokens": 1000000, "max_tokens": 128000, "capabilities": {
            "thinking": {"supported": true}, "structured_outputs": {"supported": false},
            "image_input": {"supported": true}, "pdf_input": true}},
        {"id": "claude-3-haiku-20240307", "max_tokens": null}, {"id": 3}, {}
    ], "has_more": true, "last_id": "claude-3-haiku-20240307"}"""
    models, behind = read_page(body)
    assert behind == "claude-3-haiku-20240307"
    assert models == [
        UpstreamModel(
            "claude-opus-5",
            1_000_000,
            128_000,
            frozenset({Capability.CHAT, Capability.TOOLS, Capability.COUNT_TOKENS, Capability.REASONING}),
            frozenset({Modality.TEXT, Modality.IMAGE}),
        ),
        UpstreamModel("claude-3-haiku-20240307"),
    ]


def test_the_last_page_has_none_behind_it():
    assert read_page(b'{"data": [], "has_more": false, "last_id": "x"}') == ([], "")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": {}}', b"x"])
def test_what_is_no_list_cannot_be_read(body):
    with pytest.raises(UpstreamProtocolError):
        read_page(body)
