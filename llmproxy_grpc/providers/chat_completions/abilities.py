"""What a list of models tells of their capabilities and modalities, in each vendor's own way."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from msgspec import Struct

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.chat_completions.shapes import ListedModel

_ALL: Final = frozenset(Capability)
_TALKING: Final = frozenset({Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING})
_VECTORS: Final = frozenset({Capability.EMBED})

_MODALITIES: Final[Mapping[str, Modality]] = {
    "text": Modality.TEXT,
    "image": Modality.IMAGE,
    "audio": Modality.AUDIO,
    "video": Modality.VIDEO,
    "file": Modality.DOCUMENT,
}
_PARAMETERS: Final[Mapping[str, Capability]] = {  # OpenRouter
    "tools": Capability.TOOLS,
    "structured_outputs": Capability.JSON_SCHEMA,
    "reasoning": Capability.REASONING,
}
_FLAGS: Final[Mapping[str, Capability]] = {  # Mistral
    "completion_chat": Capability.CHAT,
    "function_calling": Capability.TOOLS,
    "reasoning": Capability.REASONING,
}
_TYPES: Final[Mapping[str, AbstractSet[Capability]]] = {  # Together
    "chat": _ALL - _VECTORS,
    "embedding": _ALL - _TALKING,
}


class Abilities(Struct, frozen=True):
    """What a list does not deny; None where it says nothing."""

    capabilities: frozenset[Capability] | None = None
    inputs: frozenset[Modality] | None = None
    outputs: frozenset[Modality] | None = None


def abilities(entry: ListedModel) -> Abilities:
    """What is told of one model."""
    if isinstance(entry.architecture, dict):
        return _of_openrouter(entry.architecture, entry.supported_parameters)
    if isinstance(entry.capabilities, dict):
        return _of_mistral(entry.capabilities)
    if entry.supports_chat is not None:
        return _of_fireworks(entry)
    if isinstance(entry.type, str):
        # Of images, moderation and the like: nothing that is served here.
        return Abilities(frozenset(_TYPES.get(entry.type, ())))
    return Abilities()


def _of_openrouter(architecture: Mapping[str, Any], parameters: Any) -> Abilities:
    written = architecture.get("output_modalities")
    outputs = _modalities(written)
    able = _ALL
    if outputs is not None:
        able -= _VECTORS if Modality.TEXT in outputs else _TALKING
    if isinstance(parameters, list):
        able -= {capability for name, capability in _PARAMETERS.items() if name not in parameters}
    known = outputs is not None or isinstance(parameters, list)
    return Abilities(able if known else None, _modalities(architecture.get("input_modalities")), outputs)


def _of_mistral(flags: Mapping[str, Any]) -> Abilities:
    able = _without(_FLAGS, flags)
    if Capability.CHAT in able:
        able -= _VECTORS
    return Abilities(able, _without_images(denied=flags.get("vision") is False))


def _of_fireworks(entry: ListedModel) -> Abilities:
    able = _ALL - (_VECTORS if entry.supports_chat else _TALKING)
    if entry.supports_tools is False:
        able -= {Capability.TOOLS}
    return Abilities(able, _without_images(denied=entry.supports_image_input is False))


def _without(names: Mapping[str, Capability], flags: Mapping[str, Any]) -> frozenset[Capability]:
    denied = {capability for name, capability in names.items() if flags.get(name) is False}
    return _ALL - (_TALKING if Capability.CHAT in denied else denied)


def _without_images(*, denied: bool) -> frozenset[Modality] | None:
    return frozenset(Modality) - {Modality.IMAGE} if denied else None


def _modalities(names: Any) -> frozenset[Modality] | None:
    if not isinstance(names, list):
        return None
    words: Iterable[str] = (name for name in names if isinstance(name, str))
    return frozenset(_MODALITIES[word] for word in words if word in _MODALITIES)
