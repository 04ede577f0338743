"""The rules of a request for vectors."""

from collections.abc import Sequence

from llmproxy_grpc._gen.v1 import content_pb2, embed_pb2
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.call import check_call, check_model
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.media import MEDIA, check_media
from llmproxy_grpc.server.validation.rules import check_citations, check_number

_PURPOSES = frozenset(embed_pb2.EmbedPurpose.values())


def validate_embed(request: embed_pb2.EmbedRequest) -> list[FieldViolation]:
    """Names every field that breaks a rule of the API, as `validate` does."""
    found = Findings()
    check_model(found, request.model)
    _check_inputs(found, request.inputs)
    if request.HasField("dimensions"):
        check_number(found, "dimensions", request.dimensions, bounds.DIMENSIONS)
    if request.purpose not in _PURPOSES:
        found.add("purpose", "must be a purpose that this version knows")
    check_call(found, request)
    return found.violations()


def _check_inputs(found: Findings, inputs: Sequence[content_pb2.ContentPart]) -> None:
    if not inputs:
        found.add("inputs", "is required")
    elif len(inputs) > bounds.MAX_INPUTS:
        found.add("inputs", f"must be at most {bounds.MAX_INPUTS}")
    else:
        for index, part in enumerate(inputs):
            kind = part.WhichOneof("part")
            # Most are texts: their paths are not even made.
            if kind != "text" or not part.text:
                _check_input(found, f"inputs[{index}]", kind, part)
            if part.citations:
                check_citations(found, f"inputs[{index}].citations", len(part.citations))


def _check_input(found: Findings, path: str, kind: str | None, part: content_pb2.ContentPart) -> None:
    if kind is None:
        found.add(path, "must have content of a kind that this version knows")
    elif kind == "text":
        found.add(f"{path}.text", "must not be empty")
    elif kind in MEDIA:
        check_media(found, f"{path}.{kind}", getattr(part, kind))
    else:
        found.add(f"{path}.{kind}", "cannot be embedded; text and media can")
