"""Settings that the API does not model: checked, and merged into a request last."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import JsonObject

_ANOTHER_MODEL: Final = (
    *("model", "model_id", "model_list", "models", "engine", "deployment", "deployment_id", "agent_id"),
    # What is asked when the model fails, or instead of it: OpenRouter, LiteLLM, Groq, SGLang.
    *("route", "fallback", "fallbacks", "fallback_models", "context_window_fallbacks", "content_policy_fallbacks"),
    *("compound_custom", "custom_llm_provider", "user_config", "lora_path"),
)
_ANOTHER_PROMPT: Final = ("messages", "input", "inputs", "contents", "texts", "images", "requests")
_ANOTHER_ANSWER: Final = ("stream", "background", "deferred")
"""One that comes in another form, or later, when nobody asks for it."""
_ANOTHER_PLACE: Final = (
    *("api_base", "api_key", "api_version", "authorization", "base_url", "url"),
    *("extra_body", "extra_headers", "extra_query", "headers"),
    # Where servers of open models look for what another one has begun: SGLang, vLLM.
    *("bootstrap_host", "bootstrap_port", "bootstrap_room", "kv_transfer_params"),
    # Azure reads what is there with an identity that the operator gave to the resource.
    "data_sources",
)


def is_denied(option: str) -> bool:
    """Whether an option is the proxy's to set: it would change what is asked of whom, or with which credential.

    However it is written: Go's JSON, which Ollama and others read, matches names in any case, and for others `modelId`
    is `model_id`.
    """
    return _folded(option) in _DENIED


def _folded(option: str) -> str:
    return option.casefold().replace("_", "").replace("-", "")


_DENIED: Final = frozenset(map(_folded, (*_ANOTHER_MODEL, *_ANOTHER_PROMPT, *_ANOTHER_ANSWER, *_ANOTHER_PLACE)))


def add_options(body: dict[str, Any], options: Mapping[str, JsonObject], names: Collection[str]) -> None:
    """Merges the options that are meant for this provider into a request's body.

    An object adds to the object of its name, and its fields win; anything else replaces what is there.

    Args:
        body: The request so far.
        options: The caller's options, by provider kind.
        names: Which of them are meant: the kind's name, then the vendor's, which wins.
    """
    for name in names:
        for option, value in options.get(name, {}).items():
            if not is_denied(option):  # who adapted the request has told of it
                body[option] = _merged(body.get(option), whole_numbers(value))


def counted_options(
    options: Mapping[str, JsonObject], names: Collection[str], taken: Collection[str], *, untaken: Collection[str] = ()
) -> Mapping[str, JsonObject]:
    """Gives the options that a prompt to be counted may have.

    Args:
        options: The caller's options, by provider kind.
        names: Which of them are meant.
        taken: Those that the provider takes where it counts.
        untaken: Those that change the prompt, and that it does not take.

    Raises:
        CapabilityNotSupported: One of these is set: what the provider would count is another prompt.
    """
    if any(option in options.get(name, {}) for name in names for option in untaken):
        raise CapabilityNotSupported("The provider does not count a prompt with these options.")
    return {
        name: {option: value for option, value in options.get(name, {}).items() if option in taken} for name in names
    }


def _merged(ours: Any, theirs: Any) -> Any:
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return theirs
    # Of two types, such as json_object and json_schema, the fields of one mean nothing to the other.
    other_type = "type" in ours and "type" in theirs and ours["type"] != theirs["type"]
    return theirs if other_type else {**ours, **theirs}


def whole_numbers(value: Any) -> Any:
    """Gives integral doubles back as integers, deep down: a protobuf Struct knows doubles alone."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    return value
