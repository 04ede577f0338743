"""How each line of models that makes vectors is asked by InvokeModel, and how it answers: rows of data by their ids."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct, field
from msgspec.json import Decoder

from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, MediaKind, MediaPart, Part, TextPart
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.features import EmbedFeatures, MediaFeature, Source
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.media import base64_of, url_of

Body = dict[str, Any]

_COHERES_PURPOSES: Final[Mapping[EmbedPurpose, str]] = {
    EmbedPurpose.DOCUMENT: "search_document",
    EmbedPurpose.QUERY: "search_query",
    EmbedPurpose.CLASSIFICATION: "classification",
    EmbedPurpose.CLUSTERING: "clustering",
}
_NOVAS_PURPOSES: Final[Mapping[EmbedPurpose, str]] = {
    EmbedPurpose.DOCUMENT: "GENERIC_INDEX",
    EmbedPurpose.QUERY: "GENERIC_RETRIEVAL",
    EmbedPurpose.CLASSIFICATION: "CLASSIFICATION",
    EmbedPurpose.CLUSTERING: "CLUSTERING",
}
_PICTURES: Final = frozenset({"image/png", "image/jpeg"})
_MORE_PICTURES: Final = frozenset({*_PICTURES, "image/gif", "image/webp"})


class Vectors(Struct, gc=False):
    """An answer, or what is wrong."""

    message: Any = None

    def sent(self) -> Sequence[Sequence[float] | None]:
        """The vectors, as they were sent."""
        return ()

    def tokens(self) -> int:
        """What the inputs took; 0 where a header alone says so."""
        return 0


class Layout(Struct, frozen=True):
    """One line of models: what it can do, the body of a request, and how its answer is read."""

    features: EmbedFeatures
    write: Callable[[EmbedRequest], Body]
    read: Callable[[bytes], Vectors]


def layout_of(model: str) -> Layout | None:
    """The layout of a model by its id; None if it makes no vectors, or in a way that is not known."""
    return next((layout for pattern, layout in _BY_ID if pattern.search(model)), None)


class _Titans(Vectors, gc=False):
    embedding: list[float] | None = None
    inputTextTokenCount: Any = None  # noqa: N815 - their names

    def sent(self) -> Sequence[Sequence[float] | None]:
        return (self.embedding,)

    def tokens(self) -> int:
        return clipped(self.inputTextTokenCount)


class _ByType(Struct, gc=False):
    """Vectors where a type of numbers is asked for."""

    numbers: list[list[float]] | None = field(default=None, name="float")


class _Coheres(Vectors, gc=False):
    embeddings: list[list[float]] | _ByType | None = None

    def sent(self) -> Sequence[Sequence[float] | None]:
        return (self.embeddings.numbers if isinstance(self.embeddings, _ByType) else self.embeddings) or ()


class _NovasVector(Struct, gc=False):
    embedding: list[float] | None = None


class _Novas(Vectors, gc=False):
    embeddings: list[_NovasVector] | None = None

    def sent(self) -> Sequence[Sequence[float] | None]:
        return [each.embedding for each in self.embeddings or ()]


def _titan(request: EmbedRequest) -> Body:
    return {"inputText": _text(request.inputs[0])}


def _titan_of_a_length(request: EmbedRequest) -> Body:
    body = _titan(request)
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def _titan_of_pictures(request: EmbedRequest) -> Body:
    part = request.inputs[0]
    body: Body = {"inputImage": base64_of(part)} if isinstance(part, MediaPart) else {"inputText": _text(part)}
    if request.dimensions is not None:
        body["embeddingConfig"] = {"outputEmbeddingLength": request.dimensions}
    return body


def _cohere(request: EmbedRequest) -> Body:
    texts = [_text(part) for part in request.inputs]
    return {"texts": texts, "input_type": _COHERES_PURPOSES[_purpose(request)]}


def _cohere_of_pictures(request: EmbedRequest) -> Body:
    body = _cohere(request)
    if any(isinstance(part, MediaPart) for part in request.inputs):
        del body["texts"]
        body["inputs"] = [{"content": [_content(part)]} for part in request.inputs]
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return body


def _content(part: Part) -> Body:
    if isinstance(part, MediaPart):
        return {"type": "image_url", "image_url": url_of(part)}
    return {"type": "text", "text": _text(part)}


def _nova(request: EmbedRequest) -> Body:
    part = request.inputs[0]
    asked: Body = {"embeddingPurpose": _NOVAS_PURPOSES[_purpose(request)]}
    if request.dimensions is not None:
        asked["embeddingDimension"] = request.dimensions
    if isinstance(part, MediaPart):
        name = part.plain_type.rpartition("/")[2]
        asked["image"] = {"format": name, "source": {"bytes": base64_of(part)}}
    else:
        # What is too long is an error, as everywhere, not cut off.
        asked["text"] = {"truncationMode": "NONE", "value": _text(part)}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": asked}


def _purpose(request: EmbedRequest) -> EmbedPurpose:
    """What the vectors are for, which has to be said: for texts that are searched, if the caller does not say."""
    return request.purpose or EmbedPurpose.DOCUMENT


def _text(part: Part) -> str:
    return part.text if isinstance(part, TextPart) else ""


def _pictures(types: frozenset[str]) -> Mapping[MediaKind, MediaFeature]:
    return {MediaKind.IMAGE: MediaFeature(prompts=Source.DATA, types=types)}


_READ_TITANS: Final = partial(decode, decoder=Decoder(_Titans))
_READ_COHERES: Final = partial(decode, decoder=Decoder(_Coheres))
_READ_NOVAS: Final = partial(decode, decoder=Decoder(_Novas))
_TITAN: Final = Layout(EmbedFeatures(most_inputs=1), _titan, _READ_TITANS)
_TITAN_TWO: Final = Layout(EmbedFeatures(most_inputs=1, dimensions=True), _titan_of_a_length, _READ_TITANS)
_TITAN_IMAGE: Final = Layout(
    EmbedFeatures(most_inputs=1, dimensions=True, media=_pictures(_PICTURES)), _titan_of_pictures, _READ_TITANS
)
_COHERE: Final = Layout(EmbedFeatures(most_inputs=96, purposes=frozenset(_COHERES_PURPOSES)), _cohere, _READ_COHERES)
_COHERE_FOUR: Final = Layout(
    EmbedFeatures(
        most_inputs=96,
        dimensions=True,
        purposes=frozenset(_COHERES_PURPOSES),
        media=_pictures(_MORE_PICTURES),
    ),
    _cohere_of_pictures,
    _READ_COHERES,
)
_NOVA: Final = Layout(
    EmbedFeatures(most_inputs=1, dimensions=True, purposes=frozenset(_NOVAS_PURPOSES), media=_pictures(_MORE_PICTURES)),
    _nova,
    _READ_NOVAS,
)
# The first that matches. Source: "Inference request parameters and response fields" of Bedrock's user guide, and
# Nova's guide to embeddings.
_BY_ID: Final = (
    (re.compile(r"amazon\.titan-embed-image"), _TITAN_IMAGE),
    (re.compile(r"amazon\.titan-embed-text-v2"), _TITAN_TWO),
    (re.compile(r"amazon\.titan-embed"), _TITAN),
    (re.compile(r"amazon\.nova.{0,64}embed"), _NOVA),
    (re.compile(r"cohere\.embed-v4"), _COHERE_FOUR),
    (re.compile(r"cohere\.embed"), _COHERE),
)
