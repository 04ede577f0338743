"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any, Generic, TypeVar

from msgspec import Raw, Struct
from msgspec.json import Decoder

Arguments = TypeVar("Arguments")
_NO_ARGUMENTS: Any = Raw(b"{}")


class FunctionCall(Struct, Generic[Arguments], gc=False):
    """A call; `args` keeps the bytes in which it came where that is possible."""

    id: Any = None
    name: str | None = None
    args: Arguments = _NO_ARGUMENTS
    partialArgs: Any = None  # noqa: N815 - their names
    willContinue: Any = None  # noqa: N815


class Blob(Struct, gc=False):
    """Bytes in base64, or where they are."""

    mimeType: str | None = None  # noqa: N815
    data: str | None = None
    fileUri: str | None = None  # noqa: N815


class Part(Struct, Generic[Arguments], gc=False):
    """A piece of content; what is none of these is looked up in the document again."""

    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None  # noqa: N815
    functionCall: FunctionCall[Arguments] | None = None  # noqa: N815
    inlineData: Blob | None = None  # noqa: N815
    fileData: Blob | None = None  # noqa: N815


class Content(Struct, Generic[Arguments], gc=False):
    """What a candidate says."""

    parts: list[Part[Arguments]] | None = None


class Candidate(Struct, Generic[Arguments], gc=False):
    """One answer, or a piece of one."""

    index: int | None = None
    content: Content[Arguments] | None = None
    finishReason: str | None = None  # noqa: N815
    finishMessage: Any = None  # noqa: N815
    citationMetadata: Any = None  # noqa: N815
    groundingMetadata: Any = None  # noqa: N815
    urlContextMetadata: Any = None  # noqa: N815
    safetyRatings: Any = None  # noqa: N815
    logprobsResult: Any = None  # noqa: N815
    avgLogprobs: Any = None  # noqa: N815
    continuationToken: Any = None  # noqa: N815


class UsageMetadata(Struct, gc=False):
    """What was used so far; it comes with every chunk."""

    promptTokenCount: Any = None  # noqa: N815
    toolUsePromptTokenCount: Any = None  # noqa: N815
    cachedContentTokenCount: Any = None  # noqa: N815
    candidatesTokenCount: Any = None  # noqa: N815
    thoughtsTokenCount: Any = None  # noqa: N815
    promptTokensDetails: Any = None  # noqa: N815
    toolUsePromptTokensDetails: Any = None  # noqa: N815
    candidatesTokensDetails: Any = None  # noqa: N815
    serviceTier: Any = None  # noqa: N815
    trafficType: Any = None  # noqa: N815


class Answer(Struct, Generic[Arguments], gc=False):
    """A whole answer, or a piece of one: the wire does not tell them apart."""

    candidates: list[Candidate[Arguments]] | None = None
    promptFeedback: dict[str, Any] | None = None  # noqa: N815
    usageMetadata: UsageMetadata | None = None  # noqa: N815
    modelVersion: Any = None  # noqa: N815
    responseId: Any = None  # noqa: N815
    error: Any = None


ANSWER: Decoder[Answer[Raw]] = Decoder(Answer[Raw])
LIBERAL_ANSWER: Decoder[Answer[Any]] = Decoder(Answer[Any])
"""For chunks with half a character in them, which have to be read by other means."""


class Counted(Struct, gc=False):
    """The tokens of a prompt."""

    totalTokens: Any  # noqa: N815


class ListedModel(Struct, gc=False):
    """One entry of the list of models."""

    name: Any = None
    inputTokenLimit: Any = None  # noqa: N815
    outputTokenLimit: Any = None  # noqa: N815
    supportedGenerationMethods: Any = None  # noqa: N815
    thinking: Any = None


class ModelPage(Struct, gc=False):
    """One page of the list; Vertex AI calls the models otherwise."""

    models: list[ListedModel] | None = None
    publisherModels: list[ListedModel] | None = None  # noqa: N815
    nextPageToken: str | None = None  # noqa: N815


ANYTHING: Decoder[Any] = Decoder()
COUNTED = Decoder(Counted)
MODELS = Decoder(ModelPage)
