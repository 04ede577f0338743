"""Sound that a model answers with: how it is asked for, read whole and in pieces, and named in the next turn."""

import re
from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Any, Final

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import ChatRequest, GenerationConfig, MediaKind, MediaPart, Modality, Part
from llmproxy_grpc.providers.continuity import fields_of, token_of

VOICE: Final = "alloy"
"""The voice where the call names none in `provider_options`: this API wants one."""
_MODEL: Final = re.compile(r"(?:.*/)?(?:ft:)?gpt-(?:4o-(?:mini-)?)?audio(?:[-:].*)?")
_ID: Final = "audio_id"
_WHOLE, _STREAMED = "wav", "pcm16"
_TYPES: Final[Mapping[str, str]] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "pcm16": "audio/pcm;rate=24000",
}


def speaks(model: str) -> bool:
    """Whether a name is that of a model of OpenAI that answers with sound."""
    return _MODEL.fullmatch(model) is not None


def add_speech(body: dict[str, Any], config: GenerationConfig, *, stream: bool) -> None:
    """Asks for sound, if the call wants any; its text comes with it. Streams have one format alone."""
    if Modality.AUDIO in config.output_modalities:
        body["modalities"] = ["text", "audio"]
        body["audio"] = {"voice": VOICE, "format": _STREAMED if stream else _WHOLE}


def type_of(request: ChatRequest, names: Collection[str], *, stream: bool) -> str:
    """The media type of the sound that answers a request."""
    wanted: Any = _STREAMED if stream else _WHOLE
    for name in names if request.provider_options else ():
        options = request.provider_options.get(name, {}).get("audio")
        if isinstance(options, Mapping):
            wanted = options.get("format", wanted)
    return _TYPES.get(str(wanted), f"audio/{wanted}")


def transcript_of(audio: Any) -> str:
    """What is said in the sound of a message, or of a piece of one."""
    text = audio.get("transcript") if isinstance(audio, dict) else None
    return text if isinstance(text, str) else ""


def id_of(audio: Any) -> str:
    """The name by which the sound goes back; empty if it is not told."""
    told = audio.get("id") if isinstance(audio, dict) else None
    return told if isinstance(told, str) else ""


def sound_of(audio: Any, *, named: str, media_type: str) -> MediaPart | None:
    """The sound of a message, or of a piece of one; None if there is none in it.

    Raises:
        UpstreamProtocolError: It cannot be read.
    """
    data = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(data, str) or not data:
        return None
    try:
        heard = b64decode(data)
    except ValueError as error:
        raise UpstreamProtocolError("The provider's sound cannot be read.") from error
    token = token_of({_ID: named}, _ID) if named else b""
    return MediaPart(kind=MediaKind.AUDIO, data=heard, media_type=media_type, continuity_token=token)


def spoken_before(parts: Collection[Part]) -> str:
    """The name of the sound that an earlier message was; empty if it was none."""
    sounds = (part for part in parts if isinstance(part, MediaPart) and part.kind is MediaKind.AUDIO)
    names = (fields_of(part.continuity_token).get(_ID) for part in sounds)
    return next((name for name in names if isinstance(name, str)), "")
