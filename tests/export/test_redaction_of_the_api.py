"""What is to be hidden does not leave by the API in any format, and nothing else is changed by that."""

import json
import re
from collections import Counter
from contextlib import nullcontext, suppress

import grpc
import pytest
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import content_pb2, error_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import Entry, FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import an_exchange, consistent, message, selected
from tests.fakes.records import a_judgement, a_record, an_id
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


def without_content(value):
    """A call of Embed that failed, with a value wherever a caller or a provider may have put one, and what was said."""
    failure = error_pb2.ErrorDetail(
        reason=error_pb2.ERROR_REASON_INVALID_REQUEST,
        request_id=f"r {value}",
        upstream_code=f"code {value}",
        upstream_message=marked(value),
        upstream_request_id=f"u {value}",
    )
    figures = {
        name: f"{name} {value} ." for name in ("end_user", "conversation", "model", "upstream_model", "provider")
    }
    record = a_record(
        method="Embed",
        messages=0,
        grpc_code=3,
        error_reason="INVALID_REQUEST",
        error=failure.SerializeToString(),
        labels={"contact": value, f"of {value}": "x"},
        caller_key_id=f"key {value}",
        **figures,
    )
    comment = a_judgement(
        record.id,
        name=f"by {value}",
        source=f"from {value}",
        kind=FeedbackKind.COMMENT,
        number=None,
        content=marked(value).encode(),
    )
    return Entry(record), [comment, a_judgement(record.id, name=f"thumb {value}")]


@pytest.mark.parametrize("form", [pb.EXPORT_FORMAT_FULL_JSON, pb.EXPORT_FORMAT_CSV], ids=pb.ExportFormat.Name)
async def test_no_secret_leaves_of_a_record_without_content(server, writer, form):
    made = [without_content(value) for kind in KINDS for value in SECRETS[kind]]
    judged = [each for _, judgements_ in made for each in judgements_]
    writer.write(Batch(entries=[entry for entry, _ in made], feedback=judged))
    asked = pb.ExportRequest(
        filter=pb.ExportFilter(methods=["Embed"], grpc_codes=[3]),
        output=pb.ExportOutput(format=form, redaction=pb.Redaction(mode=pb.REDACTION_MODE_MASK)),
        selection=pb.ExportSelection(include_no_training=True),
    )
    got = consistent(await server.all(asked))
    assert got.summary.written_records == len(made)
    left = [value for kind in KINDS for value in SECRETS[kind] if secret_of(kind, value).encode() in got.data]
    assert left == []


@pytest.mark.parametrize("name", ["OPENAI_CHAT", "TRL_PROMPT_COMPLETION", "FULL_JSON"])
@pytest.mark.parametrize("strict", [False, True])
async def test_no_secret_of_a_damaged_row_leaves(server, writer, name, strict):
    """Neither in what is sent nor in what is said of it."""
    secret = SECRETS["EMAIL"][0]
    said = an_exchange(message("user", marked(secret)), message("assistant", marked(secret)))
    line = json.dumps({"messages": [{"role": "user", "content": secret}]}).encode()
    damaged = [
        replace(said.body, line=line[:-5] + b"\n"),
        replace(said.body, line=line + b"\n"),
        replace(said.body, line=line),
        replace(said.body, line=secret.encode() + b"\n"),
        replace(said.body, request=said.body.request + b"\xff"),
        replace(said.body, response=secret.encode()),
        said.body,  # sound
    ]
    writer.write(Batch(entries=[Entry(a_record(id=an_id()), body) for body in damaged]))
    mask = pb.Redaction(mode=pb.REDACTION_MODE_MASK)
    output = pb.ExportOutput(
        format=pb.ExportFormat.Value(f"EXPORT_FORMAT_{name}"), redaction=mask, fail_on_invalid=strict
    )
    call, told = server.stub.Export(pb.ExportRequest(output=output)), b""
    with suppress(grpc.aio.AioRpcError) if strict else nullcontext():
        async for answer in call:
            told += answer.SerializeToString()
    status = f"{await call.details()}{await call.trailing_metadata()}"
    assert strict or b"<EMAIL>" in told
    assert secret.encode() not in told
    assert secret not in status


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
