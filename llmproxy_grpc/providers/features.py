"""What a kind can do with a model, as data: requests are adapted by it, capabilities listed, and a table printed."""

from collections.abc import Mapping
from enum import Enum, Flag
from typing import Final

from msgspec import Struct

from llmproxy_grpc.messages import Capability, EmbedPurpose, MediaKind, Modality, ReasoningEffort, ToolMode
from llmproxy_grpc.providers.function_names import ANY_NAME, NameForm
from llmproxy_grpc.providers.schema_forms import ANY_SCHEMA, SchemaForm

ANY_SEED: Final = range(-(2**63), 2**63)
"""Whatever the API takes."""
NATURAL_SEED: Final = range(2**63)
"""The same, but none that is negative."""


class Source(Flag):
    """Where the bytes of a piece of media may be; the names are those of the fields of `Media`."""

    NONE = 0
    DATA = 1
    URI = 2
    FILE_ID = 4


class Place(Enum):
    """Where in a conversation a part stands."""

    PROMPT = "prompt"
    ANSWER = "answer"
    RESULT = "result"


class Blank(Enum):
    """Which conversations are taken in which nobody says a word."""

    EMPTY = "empty"
    """Any, even without a character."""
    SPACES = "spaces"
    """Those of white space."""
    NONE = "none"


class MediaFeature(Struct, frozen=True):
    """How one kind of media is taken.

    Attributes:
        prompts: Where the bytes may be in the messages of system, developer and user.
        results: The same in results of tools.
        answers: The same in the model's own messages, such as pictures that it made.
        answers_by_token: Whether the model's own are taken if they have their continuity token, which names them.
        types: The media types that are taken, in lower case; empty for any.
        schemes: The schemes of URIs that are taken, such as `s3`; empty for any.
        detail: In which places the model can be told how closely to look.
    """

    prompts: Source = Source.NONE
    results: Source = Source.NONE
    answers: Source = Source.NONE
    answers_by_token: bool = False
    types: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset()
    detail: frozenset[Place] = frozenset()


class EmbedFeatures(Struct, frozen=True, kw_only=True):
    """What can be honoured of a request for vectors; the defaults are a model that takes texts alone.

    Attributes:
        media: Which media it takes as inputs: where `prompts` of each says.
        dimensions: Whether the caller may choose the vectors' length.
        purposes: What it can be told that the vectors are for.
        most_inputs: How many inputs it takes at once; more are split among several requests. 0 for any number.
        most_bytes: How much text it takes at once, in UTF-8; more is split as well. 0 for any size.
        any_options: Whether it takes the options of every kind, as it passes them on.
    """

    media: Mapping[MediaKind, MediaFeature] = {}
    dimensions: bool = False
    purposes: frozenset[EmbedPurpose] = frozenset()
    most_inputs: int = 2048
    most_bytes: int = 0
    any_options: bool = False


class Features(Struct, frozen=True, kw_only=True):
    """What can be honoured; the defaults are a model that answers text with text.

    What is not here is left out of a request before a provider sees it, and named as unsupported.
    """

    names: tuple[str, ...]
    """Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins."""
    media: Mapping[MediaKind, MediaFeature] = {}
    opaque: frozenset[Place] = frozenset(Place)
    """Where a block of its own, which the API does not model, is sent back as it is."""
    blank: Blank = Blank.EMPTY
    """Which conversations without a word it takes."""
    message_name: bool = False
    """Whether a message may name its participant."""
    cache_hints: bool = False
    """Whether the caller may say what of the prompt to cache."""
    tools: bool = False
    """Whether it calls functions."""
    strict_tools: bool = False
    """Whether it can be held to a function's schema."""
    function_names: NameForm = ANY_NAME
    """What names of functions it takes."""
    function_schemas: SchemaForm = ANY_SCHEMA
    """What schemas of functions it takes."""
    schema_names: NameForm = ANY_NAME
    """What names of an answer's schema it takes, where it is told them."""
    tool_modes: frozenset[ToolMode] = frozenset({ToolMode.AUTO})
    """The modes of ToolChoice that can be demanded."""
    named_tool: bool = False
    """Whether one function by name can be demanded."""
    parallel_tool_calls: bool = False
    """Whether the caller may allow or forbid several calls at once."""
    result_errors: bool = False
    """Whether it can be told that a tool failed, beside what the result's text says."""
    settings: frozenset[str] = frozenset()
    """The plain fields of GenerationConfig that it knows, such as `top_k`; see `PLAIN_SETTINGS`."""
    ranges: Mapping[str, tuple[float, float]] = {}
    """The least and the greatest value of plain settings, where it takes fewer than the API; others are named."""
    seeds: range = ANY_SEED
    """The seeds that it takes, where it takes any."""
    max_stop_sequences: int = 0
    many_candidates: bool = False
    """Whether more than one candidate can be asked for."""
    json_object: bool = False
    json_schema: bool = False
    reasoning_effort: bool = False
    efforts: frozenset[ReasoningEffort] = frozenset(ReasoningEffort)
    """The efforts that it knows, where it knows any: another one becomes the nearest."""
    reasoning_budget: bool = False
    """Whether thinking can be limited by a number of tokens."""
    effort_or_budget: bool = False
    """Whether it takes one of the two alone."""
    reasoning_shown: bool = False
    """Whether answers can show the thinking."""
    output_modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    end_user: bool = False
    """Whether it is told the end user's id; where it is not nothing is said, since no answer depends on it."""
    chat: bool = True
    """Whether it answers conversations at all."""
    embed: EmbedFeatures | None = None
    """How it makes vectors; None if it makes none."""
    prefill: bool = False
    """Whether it goes on with an answer that has begun: a last message of the assistant."""
    prefill_echoed: bool = False
    """Whether it then repeats that beginning first."""
    count_tokens: bool = False
    """Whether the provider counts the tokens of a prompt by itself."""

    def capabilities(self) -> frozenset[Capability]:
        """The same in the words of ListModels."""
        flags = {
            Capability.CHAT: self.chat,
            Capability.TOOLS: self.tools,
            Capability.JSON_SCHEMA: self.json_schema,
            Capability.REASONING: self.reasoning_effort or self.reasoning_budget,
            Capability.EMBED: self.embed is not None,
            Capability.COUNT_TOKENS: self.count_tokens,
        }
        return frozenset(capability for capability, has in flags.items() if has)

    def input_modalities(self) -> frozenset[Modality]:
        """What it reads."""
        kinds = (Modality(kind.value) for kind, feature in self.media.items() if feature.prompts)
        return frozenset({Modality.TEXT, *kinds})


PLAIN_SETTINGS = (
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "logit_bias",
)
"""The fields of GenerationConfig that a provider knows or not; the others have flags of their own."""
