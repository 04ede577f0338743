"""What is to be hidden does not leave by the API in any format, and nothing else is changed by that."""

import json
import re
from collections import Counter

import pytest

from llmproxy_grpc._gen.v1 import content_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import an_exchange, message, selected
from tests.fakes.records import a_judgement
from tests.unit.datasets.canaries import CANARIES, secret_of

KINDS = list(dict.fromkeys(kind for kind, _ in CANARIES))
SECRETS = {kind: [value for each, value in CANARIES if each == kind][:6] for kind in KINDS}
"""Six of each class, each for one place of a record."""
HARMLESS = 'Order 12345-67 of version 1.2.3 costs 19.90, says the "app\'s" log: {"n": 7}.\n'
MARKED = re.compile(r"\[\[.*?\]\]")


def marked(value):
    return f"{HARMLESS}[[ {value} ]]"


def with_tools(name, secrets):
    """A conversation with a secret in every place, also in a call of a tool and its result."""
    call = {"id": "call_1", "name": "send", "arguments_json": json.dumps({"to": marked(secrets[2]), "n": [7, "x"]})}
    result = {"tool_call_id": "call_1", "name": "send", "content": [{"text": marked(secrets[3])}]}
    return [
        message("system", marked(secrets[0])),
        message("user", f"{name} {marked(secrets[1])}"),
        content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[{"tool_call": call}]),
        content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=[{"tool_result": result}]),
        message("assistant", marked(secrets[4])),
    ]


def without_tools(name, secrets):
    """The same without a tool."""
    system, user, *_, answer = with_tools(name, secrets)
    return [system, user, message("assistant", marked(secrets[2])), message("user", marked(secrets[3])), answer]


def judgements(entry, secrets):
    better = message("assistant", f"Better: {marked(secrets[5])}").SerializeToString()
    shown = a_judgement(entry.record.id, kind=FeedbackKind.DEMONSTRATION, number=None, content=better)
    return [shown, a_judgement(entry.record.id)]


FORMS = {
    "OPENAI_CHAT": (with_tools, 5),
    "OPENAI_PREFERENCE": (with_tools, 6),
    "TRL_PROMPT_COMPLETION": (with_tools, 5),
    "TRL_PREFERENCE": (with_tools, 6),
    "TRL_KTO": (with_tools, 5),
    "SHAREGPT": (with_tools, 5),
    "ALPACA": (without_tools, 5),
    "GEMINI": (with_tools, 5),
    "BEDROCK_CONVERSE": (with_tools, 5),
    "MISTRAL": (with_tools, 5),
    "FULL_JSON": (with_tools, 6),
}
"""By format, what it can say, and in how many places of that a secret leaves."""


@pytest.mark.parametrize("name", FORMS)
async def test_no_secret_leaves_and_nothing_else_changes(server, writer, name):
    conversation, places = FORMS[name]
    entries = {kind: an_exchange(*conversation(kind, SECRETS[kind])) for kind in KINDS}
    judged = [each for kind, entry in entries.items() for each in judgements(entry, SECRETS[kind])]
    writer.write(Batch(entries=list(entries.values()), feedback=judged))
    asked = {"format": pb.ExportFormat.Value(f"EXPORT_FORMAT_{name}")}
    pairs = pb.PreferencePairs(feedback_name="helpful")

    plain = await selected(server, pb.ExportOutput(**asked), pairs=pairs)
    mask = pb.Redaction(mode=pb.REDACTION_MODE_MASK)
    hidden = await selected(server, pb.ExportOutput(redaction=mask, **asked), pairs=pairs)

    assert len(plain.lines) == len(hidden.lines) == len(KINDS)
    text = "".join(texts(hidden.lines))
    for kind in KINDS:
        assert [value for value in SECRETS[kind] if secret_of(kind, value) in text] == []
    found = Counter(hidden.summary.redacted_values)
    assert all(found[kind] >= places for kind in KINDS), found
    assert list(map(outside, hidden.lines)) == list(map(outside, plain.lines))


async def test_classes_that_were_not_asked_for_stay(server, writer):
    entries = [an_exchange(*without_tools(kind, SECRETS[kind])) for kind in ("EMAIL", "IBAN")]
    writer.write(Batch(entries=entries))
    mask = pb.Redaction(mode=pb.REDACTION_MODE_MASK, classes=["IBAN"])
    got = await selected(server, pb.ExportOutput(redaction=mask))
    text = "".join(texts(got.lines))
    assert all(value in text for value in SECRETS["EMAIL"][:5])
    assert not any(value in text for value in SECRETS["IBAN"][:5])
    assert set(got.summary.redacted_values) == {"IBAN"}


def texts(value):
    """Every text within a value, the names of fields too."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from (name, *texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def outside(value):
    """The value but for what stands in marks."""
    if isinstance(value, dict):
        return {name: outside(each) for name, each in value.items()}
    if isinstance(value, list):
        return [outside(each) for each in value]
    return MARKED.sub("[[]]", value) if isinstance(value, str) else value
