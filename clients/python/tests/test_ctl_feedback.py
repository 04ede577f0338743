"""`llmproxyctl feedback`: one judgement a call."""

import json

import pytest
from google.protobuf import json_format

from llmproxy_client.v1.feedback_pb2 import RecordFeedbackRequest

JUDGEMENTS = [
    (["--up"], {"thumbs_up": True}),
    (["--down"], {"thumbs_up": False}),
    (["--score", "-0.5"], {"score": -0.5}),
    (["--comment", "größer"], {"comment": "größer"}),
    (["--demonstration", "Paris."], {"demonstration": {"role": "ROLE_ASSISTANT", "parts": [{"text": "Paris."}]}}),
]


@pytest.mark.parametrize(("argv", "value"), JUDGEMENTS)
def test_feedback_gives_one_judgement(ctl, script, argv, value):
    assert ctl("feedback", "r1", "--name", "n", "--source", "s", *argv) == 0

    expected = {"record_id": "r1", "name": "n", "source": "s", **value}
    assert script.asked == [json_format.ParseDict(expected, RecordFeedbackRequest())]
    assert ctl.out == "recorded 2026-01-01T00:00:00Z\n"


def test_no_field_of_a_judgement_is_out_of_reach():
    told = {"record_id", "name", "source"}.union(*(value for _, value in JUDGEMENTS))

    assert set(RecordFeedbackRequest.DESCRIPTOR.fields_by_name) == told


def test_feedback_in_json_prints_the_response(ctl):
    ctl("feedback", "r1", "--up", "--json")

    assert json.loads(ctl.out) == {"createTime": "2026-01-01T00:00:00Z"}
