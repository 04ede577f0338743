"""The enumerations of a conversation, with the numbers of the API."""

from enum import IntEnum


class Role(IntEnum):
    """Who speaks."""

    SYSTEM = 1
    DEVELOPER = 2
    USER = 3
    ASSISTANT = 4
    TOOL = 5


class MediaKind(IntEnum):
    """What a piece of media is; the numbers are those of Modality."""

    IMAGE = 2
    AUDIO = 3
    VIDEO = 4
    DOCUMENT = 5


class MediaDetail(IntEnum):
    """How closely the model looks at a picture."""

    UNSPECIFIED = 0
    LOW = 1
    HIGH = 2


class ToolMode(IntEnum):
    """Whether the model may, must or must not call tools."""

    UNSPECIFIED = 0
    AUTO = 1
    NONE = 2
    REQUIRED = 3


class ReasoningEffort(IntEnum):
    """How much the model thinks, in steps."""

    UNSPECIFIED = 0
    NONE = 1
    MINIMAL = 2
    LOW = 3
    MEDIUM = 4
    HIGH = 5
    XHIGH = 6
    MAX = 7


class Modality(IntEnum):
    """Kinds of content."""

    TEXT = 1
    IMAGE = 2
    AUDIO = 3
    VIDEO = 4
    DOCUMENT = 5


class FinishReason(IntEnum):
    """Why the model stopped."""

    UNSPECIFIED = 0
    STOP = 1
    STOP_SEQUENCE = 2
    MAX_TOKENS = 3
    CONTEXT_WINDOW = 4
    TOOL_CALLS = 5
    CONTENT_FILTER = 6
    REFUSAL = 7
    PAUSED = 8
    OTHER = 9


class UsageSource(IntEnum):
    """Where usage numbers come from."""

    UNSPECIFIED = 0
    PROVIDER = 1
    ESTIMATE = 2
    CACHE = 3


class Capability(IntEnum):
    """What a model can do."""

    CHAT = 1
    TOOLS = 2
    JSON_SCHEMA = 3
    REASONING = 4
    EMBED = 5
    COUNT_TOKENS = 6


class EmbedPurpose(IntEnum):
    """What vectors are for."""

    UNSPECIFIED = 0
    DOCUMENT = 1
    QUERY = 2
    CLASSIFICATION = 3
    CLUSTERING = 4
    SIMILARITY = 5
