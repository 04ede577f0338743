"""What Converse honours, and what of it depends on whose model it is."""

import re
from functools import lru_cache
from typing import Final

from llmproxy_grpc.messages import MediaKind, ToolMode
from llmproxy_grpc.providers.features import Features, MediaFeature, Source

NAMES: Final = ("bedrock",)

IMAGE_FORMATS: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENT_FORMATS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
VIDEO_FORMATS: Final = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
FORMATS: Final = {
    MediaKind.IMAGE: IMAGE_FORMATS,
    MediaKind.DOCUMENT: DOCUMENT_FORMATS,
    MediaKind.VIDEO: VIDEO_FORMATS,
}
_S3 = frozenset({"s3"})
_CLAUDE = re.compile(r"anthropic\.claude")
_GPT_OSS = re.compile(r"openai\.gpt-oss")


def is_claude(model: str) -> bool:
    """Whether a model is one of Anthropic's, by its id or that of its inference profile."""
    return _CLAUDE.search(model) is not None


@lru_cache(maxsize=1024)  # callers choose the names
def features_of(model: str) -> Features:
    """The features of a model."""
    claude = is_claude(model)
    plain = {"max_output_tokens", "temperature", "top_p"}
    return Features(
        names=NAMES,
        media={
            kind: MediaFeature(
                prompts=Source.DATA | Source.URI, results=Source.DATA | Source.URI, types=frozenset(types), schemes=_S3
            )
            for kind, types in FORMATS.items()
        },
        cache_hints=True,
        tools=True,
        strict_tools=True,
        # It has no word for no calls, and wants the tools as long as the conversation has calls.
        tool_modes=frozenset({ToolMode.AUTO, ToolMode.REQUIRED}),
        named_tool=True,
        settings=frozenset(plain | {"top_k"} if claude else plain),
        max_stop_sequences=2500,
        json_schema=True,
        reasoning_effort=_GPT_OSS.search(model) is not None,
        reasoning_budget=claude,
        reasoning_shown=True,
        count_tokens=True,
    )
