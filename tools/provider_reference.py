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
from llmproxy_grpc.providers.features import PLAIN_SETTINGS, EmbedFeatures, Features, MediaFeature, Place, Source
from llmproxy_grpc.providers.http import HttpClient

PAGE = Path(__file__).resolve().parent.parent / "docs" / "providers.md"
BEGIN = "<!-- Written by tools/provider_reference.py from the kinds' own declarations; change those, not this. -->\n"
END = "<!-- End of what tools/provider_reference.py writes. -->\n"
YES, NO = "yes", "-"


class Column(Struct, frozen=True):
    """One kind, or one of the APIs that a kind speaks, with a model that stands for its newest; without for `local`."""

    title: str
    config: Mapping[str, object]
    model: str


COLUMNS: Sequence[Column] = (
    Column("`openai`", {"kind": "openai", "api_key": "test-key"}, "gpt-5.6"),
    Column("`openai`, `api: responses`", {"kind": "openai", "api_key": "test-key", "api": "responses"}, "gpt-5.6"),
    Column("`anthropic`", {"kind": "anthropic", "api_key": "test-key"}, "claude-opus-4-7"),
    Column("`gemini`", {"kind": "gemini", "api_key": "test-key"}, "gemini-4-argon"),
    Column("`azure`", {"kind": "azure", "api_key": "test-key", "base_url": "https://x.test"}, "gpt"),
    Column("`mistral`", {"kind": "mistral", "api_key": "test-key"}, "mistral-large-latest"),
    Column("`bedrock`", {"kind": "bedrock", "api_key": "test-key", "region": "x"}, "anthropic.claude-sonnet-4-5"),
    Column("`cohere`", {"kind": "cohere", "api_key": "test-key"}, "command-a-reasoning"),
    Column("`ollama`", {"kind": "ollama"}, "qwen3"),
    Column("`grpc`", {"kind": "grpc", "base_url": "http://127.0.0.1:1"}, "any"),
    Column("`local`", {}, ""),
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
    features = [await _declared(column) for column in COLUMNS]
    lines = [
        f"| | {' | '.join(column.title for column in COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
        *(f"| {name} | {' | '.join(map(read, features))} |" for name, read in ROWS.items()),
    ]
    return "\n".join(lines) + "\n"


async def _declared(column: Column) -> Features:
    if not column.config:
        return local.FEATURES  # its weights need not be here to describe it
    async with aclosing(HttpClient(connect_timeout=1)) as http:
        provider = registry.build(ProviderConfig.model_validate({"name": "described", **column.config}), http)
        async with aclosing(provider):
            return provider.features(column.model)


def _flag(field: str) -> Callable[[Features], str]:
    return lambda features: YES if getattr(features, field) else NO


def _setting(field: str) -> Callable[[Features], str]:
    return lambda features: YES if field in features.settings else NO


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


ROWS: Mapping[str, Callable[[Features], str]] = {
    "functions: `tools[].function`": _flag("tools"),
    "`tools[].function.strict`": _flag("strict_tools"),
    "`tool_choice`": _modes,
    "`tool_choice.parallel_tool_calls`": _flag("parallel_tool_calls"),
    **{f"`{kind.name.lower()}` in prompts": _media(kind, "prompts") for kind in MediaKind},
    **{f"`{kind.name.lower()}` in results of tools": _media(kind, "results") for kind in MediaKind},
    "`tool_result.is_error`": _flag("result_errors"),
    "`detail` of media": _looks,
    "`messages[].name`": _flag("message_name"),
    "`parts[].cache_hint`": _flag("cache_hints"),
    **{f"`generation.{name}`": _setting(name) for name in PLAIN_SETTINGS},
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
    "Embed": lambda features: YES if features.embed else NO,
    "media as inputs of Embed": _embedded_media,
    "`EmbedRequest.dimensions`": lambda features: YES if features.embed and features.embed.dimensions else NO,
    "`EmbedRequest.purpose`": _purposes,
    "inputs of Embed at once; more are split": _most_inputs,
    "`end_user_id`": _flag("end_user"),
    "CountTokens by the provider": _flag("count_tokens"),
}


if __name__ == "__main__":
    sys.exit(main())
