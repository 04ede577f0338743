"""`llmproxyctl feedback`: judges a recorded call."""

import argparse

from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.v1.content_pb2 import ROLE_ASSISTANT, ContentPart, Message
from llmproxy_client.v1.feedback_pb2 import RecordFeedbackRequest


def request_of(given: argparse.Namespace) -> RecordFeedbackRequest:
    """The judgement that the options mean."""
    request = RecordFeedbackRequest(record_id=given.record_id, name=given.name, source=given.source)
    if given.thumb is not None:
        request.thumbs_up = given.thumb
    elif given.score is not None:
        request.score = given.score
    elif given.comment is not None:
        request.comment = given.comment
    else:
        demonstration = Message(role=ROLE_ASSISTANT, parts=[ContentPart(text=given.demonstration)])
        request.demonstration.CopyFrom(demonstration)
    return request


def give(
    client: Client, request: RecordFeedbackRequest, terminal: Terminal, *, as_json: bool, timeout: float | None
) -> None:
    """Gives it, and says when it was stored."""
    response = client.stub.RecordFeedback(request, timeout=timeout)
    if as_json:
        terminal.json(response)
    else:
        terminal.line(f"recorded {response.create_time.ToJsonString()}")
