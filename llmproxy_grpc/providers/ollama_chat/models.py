"""What Ollama tells of its models."""

from typing import Any, Final

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.ollama_chat.shapes import SHOWN
from llmproxy_grpc.providers.provider import UpstreamModel

_CAPABILITIES: Final = {
    "completion": Capability.CHAT,
    "tools": Capability.TOOLS,
    "thinking": Capability.REASONING,
    "embedding": Capability.EMBED,
}


def read_model(name: str, body: bytes) -> UpstreamModel:
    """Reads what /api/show tells of a model.

    Raises:
        UpstreamProtocolError: It cannot be read.
    """
    shown = decode(body, SHOWN)
    told = shown.capabilities if isinstance(shown.capabilities, list) else None
    if told is None:
        return UpstreamModel(name, _context(shown.model_info))
    capabilities = {capability for word, capability in _CAPABILITIES.items() if word in told}
    if Capability.CHAT in capabilities:
        # Any grammar holds any model that writes.
        capabilities.add(Capability.JSON_SCHEMA)
    modalities = {Modality.TEXT, *({Modality.IMAGE} if "vision" in told else ())}
    return UpstreamModel(name, _context(shown.model_info), 0, frozenset(capabilities), frozenset(modalities))


def _context(info: Any) -> int:
    if not isinstance(info, dict):
        return 0
    return next((clipped(value) for name, value in info.items() if str(name).endswith(".context_length")), 0)
