"""Writes the table of features in docs/providers.md from what the kinds declare; `--check` fails if it is stale."""

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import MediaKind, ToolMode
from llmproxy_grpc.providers import local, registry
from llmproxy_grpc.providers.features import (
    ANY_SEED,
    NATURAL_SEED,
    PLAIN_SETTINGS,
    Blank,
    EmbedFeatures,
    Features,
    MediaFeature,
    Place,
    Source,
)
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.schema_forms import (
    ANY_SCHEMA,
    FLAT_SCHEMA,
    OBJECT_SCHEMA,
    SINGLE_SCHEMA,
    SchemaForm,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "providers.md"
BEGIN = "<!-- Written by tools/provider_reference.py from the kinds' own declarations; change those, not this. -->\n"
END = "<!-- End of what tools/provider_reference.py writes. -->\n"
YES, NO = "yes", "-"
SCHEMAS: Mapping[SchemaForm, str] = {
    ANY_SCHEMA: "any",
    OBJECT_SCHEMA: "of an object",
    SINGLE_SCHEMA: "of an object, no union",
    FLAT_SCHEMA: "of an object, no union, reference or constant",
}


class Column(Struct, frozen=True):
    """One kind, or one of the APIs that a kind speaks; `local` has neither configuration nor models.

    Attributes:
        model: Stands for its newest.
        others: Stand for those that differ from it.
        embedders: Stand for those that make vectors, the newest first; `model` does if there is none.
    """

    title: str
    config: Mapping[str, object] = {}
    model: str = ""
    others: Sequence[str] = ()
    embedders: Sequence[str] = ()


class Kind(Struct, frozen=True):
    """What a column's models declare, the newest first."""

    chat: Sequence[Features]
    embedders: Sequence[Features]


_OPENAI = {"kind": "openai", "api_key": "test-key"}
_OPENAI_EMBEDDERS = ("text-embedding-3-small", "text-embedding-ada-002")
COLUMNS: Sequence[Column] = (
    Column("`openai`", _OPENAI, "gpt-5.6", ("gpt-4.1", "gpt-audio"), _OPENAI_EMBEDDERS),
    Column("`openai`, `api: responses`", {**_OPENAI, "api": "responses"}, "gpt-5.6", ("gpt-4.1",), _OPENAI_EMBEDDERS),
    Column("`anthropic`", {"kind": "anthropic", "api_key": "test-key"}, "claude-opus-4-7", ("claude-sonnet-4-5",)),
    Column(
        "`gemini`",
        {"kind": "gemini", "api_key": "test-key"},
        "gemini-4-argon",
        ("gemini-3-pro-preview", "gemini-2.5-flash", "gemini-2.0-flash"),
        ("gemini-embedding-2", "gemini-embedding-001"),
    ),
    Column(
        "`azure`", {"kind": "azure", "api_key": "test-key", "base_url": "https://x.test"}, "gpt", (), _OPENAI_EMBEDDERS
    ),
    Column(
        "`mistral`",
        {"kind": "mistral", "api_key": "test-key"},
        "mistral-large-latest",
        (),
        ("codestral-embed", "mistral-embed"),
    ),
    Column(
        "`bedrock`",
        {"kind": "bedrock", "api_key": "test-key", "region": "x"},
        "anthropic.claude-sonnet-4-5",
        ("anthropic.claude-opus-4-7", "amazon.nova-pro-v1:0", "mistral.voxtral-small-24b-2507"),
        ("cohere.embed-v4:0", "cohere.embed-english-v3"),
    ),
    Column(
        "`cohere`",
        {"kind": "cohere", "api_key": "test-key"},
        "command-a-reasoning",
        ("command-r",),
        ("embed-v4.0", "embed-english-v3.0"),
    ),
    Column("`ollama`", {"kind": "ollama"}, "qwen3"),
    Column("`grpc`", {"kind": "grpc", "base_url": "http://127.0.0.1:1"}, "any"),
    Column("`local`"),
    Column("`echo`", {"kind": "echo"}, "echo"),
)


def main() -> int:
    """Writes the table into the page, or compares it; the exit status."""
    old = PAGE.read_text()
    table = f"{BEGIN}\n{asyncio.run(reference())}\n{END}"
    new = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, old, flags=re.DOTALL)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(new)
        return 0
    if old == new and BEGIN in old:
        return 0
    print(f"{PAGE.name} is not up to date; run tools/provider_reference.py", file=sys.stderr)
    return 1


async def reference() -> str:
    """The table: a row for each feature, a column for each kind."""
    kinds = [await _declared(column) for column in COLUMNS]
    lines = [
        f"| | {' | '.join(column.title for column in COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
        *(f"| {name} | {' | '.join(_cell(read, kind.chat) for kind in kinds)} |" for name, read in ROWS.items()),
        *(
            f"| {name} | {' | '.join(_cell(read, kind.embedders) for kind in kinds)} |"
            for name, read in EMBED_ROWS.items()
        ),
    ]
    return "\n".join(lines) + "\n"


async def _declared(column: Column) -> Kind:
    if not column.config:
        return Kind([local.FEATURES], [local.FEATURES])  # its weights need not be here to describe it
    async with aclosing(HttpClient(connect_timeout=1)) as http:
        provider = registry.build(ProviderConfig.model_validate({"name": "described", **column.config}), http)
        async with aclosing(provider):
            chat = [provider.features(model) for model in (column.model, *column.others)]
            return Kind(chat, [provider.features(model) for model in column.embedders or (column.model,)])


def _cell(read: Callable[[Features], str], models: Sequence[Features]) -> str:
    """What the newest do, and what others do where they differ."""
    newest, *others = dict.fromkeys(map(read, models))
    differing = ["not" if other == NO else "" if other == YES else other.removeprefix(f"{YES}, ") for other in others]
    some = [f"some models {other}".rstrip() for other in differing]
    return "; ".join(some if newest == NO and some else [newest, *some])


def _flag(field: str) -> Callable[[Features], str]:
    return lambda features: YES if getattr(features, field) else NO


def _setting(field: str) -> Callable[[Features], str]:
    """Whether a setting is known, and from where to where if not all of its values are taken."""

    def read(features: Features) -> str:
        if field not in features.settings:
            return NO
        taken = features.ranges.get(field)
        return YES if taken is None else f"{YES}, {taken[0]:g} to {taken[1]:g}"

    return read


def _seeds(features: Features) -> str:
    """Whether seeds are known, and which where not all are."""
    if "seed" not in features.settings:
        return NO
    if features.seeds == ANY_SEED:
        return YES
    if features.seeds == NATURAL_SEED:
        return f"{YES}, from 0"
    return f"{YES}, of {features.seeds[-1].bit_length() + 1} bits"


def _names(features: Features) -> str:
    """How long names of functions may be, and of what."""
    form = features.function_names
    if not features.tools:
        return NO
    others = "".join(f" {each}" for each in sorted(f"_-{form.others}"))
    first = ", the first a letter or _" if form.first_is_letter else ""
    return f"{form.longest} of A-Z a-z 0-9{others}{first}" if form.longest else "any"


def _schemas(features: Features) -> str:
    return SCHEMAS[features.function_schemas] if features.tools else NO


def _media(kind: MediaKind, place: str) -> Callable[[Features], str]:
    def read(features: Features) -> str:
        sources: Source = getattr(features.media.get(kind, MediaFeature()), place)
        return ", ".join((source.name or "").lower() for source in sources) or NO

    return read


def _looks(features: Features) -> str:
    """Where which media's detail can be chosen."""
    places = {place for feature in features.media.values() for place in feature.detail}
    kinds = [kind.name.lower() for kind, feature in sorted(features.media.items()) if feature.detail]
    where = "" if Place.RESULT in places or not kinds else ", not in results of tools"
    return f"{', '.join(kinds)}{where}" if kinds else NO


def _opaque(features: Features) -> str:
    """Where a block of its own goes back."""
    if not features.opaque:
        return NO
    return YES if Place.RESULT in features.opaque else f"{YES}, not in results of tools"


def _modes(features: Features) -> str:
    if not features.tools:
        return NO
    modes = [mode.name.lower() for mode in ToolMode if mode in features.tool_modes]
    return ", ".join([*modes, *(["by name"] if features.named_tool else [])])


def _stops(features: Features) -> str:
    return str(features.max_stop_sequences) if features.max_stop_sequences else NO


def _embedded_media(features: Features) -> str:
    media = (features.embed or EmbedFeatures()).media
    return ", ".join(kind.name.lower() for kind, feature in sorted(media.items()) if feature.prompts) or NO


def _purposes(features: Features) -> str:
    purposes = (features.embed or EmbedFeatures()).purposes
    return ", ".join(purpose.name.lower() for purpose in sorted(purposes) if purpose) or NO


def _most_inputs(features: Features) -> str:
    return NO if features.embed is None else str(features.embed.most_inputs or "any number")


BLANKS: Mapping[Blank, str] = {Blank.EMPTY: YES, Blank.SPACES: "of white space", Blank.NONE: NO}
ROWS: Mapping[str, Callable[[Features], str]] = {
    "`messages` without a word": lambda features: BLANKS[features.blank],
    "functions: `tools[].function`": _flag("tools"),
    "`tools[].function.name`, at most": _names,
    "`tools[].function.parameters_json_schema`, its top": _schemas,
    "`tools[].function.strict`": _flag("strict_tools"),
    "`tool_choice`": _modes,
    "`tool_choice.parallel_tool_calls`": _flag("parallel_tool_calls"),
    **{f"`{kind.name.lower()}` in prompts": _media(kind, "prompts") for kind in MediaKind},
    **{f"`{kind.name.lower()}` in results of tools": _media(kind, "results") for kind in MediaKind},
    "`tool_result.is_error`": _flag("result_errors"),
    "`detail` of media": _looks,
    "`messages[].name`": _flag("message_name"),
    "`parts[].cache_hint`": _flag("cache_hints"),
    "`parts[].opaque` of its own": _opaque,
    **{f"`generation.{name}`": _seeds if name == "seed" else _setting(name) for name in PLAIN_SETTINGS},
    "`generation.stop_sequences`, at most": _stops,
    "`generation.candidate_count`": _flag("many_candidates"),
    "`response_format.json_object`": _flag("json_object"),
    "`response_format.json_schema`": _flag("json_schema"),
    "`reasoning.effort`": _flag("reasoning_effort"),
    "`reasoning.budget_tokens`": _flag("reasoning_budget"),
    "`reasoning.include`": _flag("reasoning_shown"),
    "answers with": lambda features: ", ".join(
        modality.name.lower() for modality in sorted(features.output_modalities)
    ),
    "`end_user_id`": _flag("end_user"),
    "CountTokens by the provider": _flag("count_tokens"),
}
EMBED_ROWS: Mapping[str, Callable[[Features], str]] = {
    "Embed": lambda features: YES if features.embed else NO,
    "media as inputs of Embed": _embedded_media,
    "`EmbedRequest.dimensions`": lambda features: YES if features.embed and features.embed.dimensions else NO,
    "`EmbedRequest.purpose`": _purposes,
    "inputs of Embed at once; more are split": _most_inputs,
}


if __name__ == "__main__":
    sys.exit(main())
