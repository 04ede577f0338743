"""What one vendor's Chat Completions can and cannot do, as flags."""

from enum import Enum

from msgspec import Struct


class ReasoningStyle(Enum):
    """How a vendor is told how much to think."""

    UNSUPPORTED = "unsupported"
    EFFORT = "effort"
    """`reasoning_effort`, a word."""
    THINKING = "thinking"
    """`reasoning_effort`, and `thinking: {type: disabled}` for none."""
    OBJECT = "object"
    """`reasoning: {effort, max_tokens, exclude}`."""


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a vendor departs from OpenAI; the defaults are OpenAI's own API.

    A flag that is False means that the field is left out of requests and that `unsupported` names it.
    """

    max_tokens_field: str = "max_completion_tokens"
    """The name of the output limit; `max_tokens` is the old one, which most compatible servers know."""
    max_stop_sequences: int = 4
    """How many stop sequences a request may have."""
    developer_role: bool = True
    """Whether the role `developer` exists; otherwise such messages are sent as system."""
    message_name: bool = True
    """Whether a message may name its participant."""
    stream_options: bool = True
    """Whether usage of a stream is asked for by `stream_options`."""
    tools: bool = True
    tool_choice: bool = True
    """Whether the caller may demand or forbid tool calls."""
    parallel_tool_calls: bool = True
    top_k: bool = False
    n: bool = True
    """Whether more than one candidate can be asked for."""
    seed: bool = True
    penalties: bool = True
    logit_bias: bool = True
    logprobs: bool = True
    json_schema: bool = True
    image_uri: bool = True
    """Whether a picture may be given by its address."""
    document_uri: bool = False
    """Whether a document may be given by its address."""
    video: bool = False
    """Whether videos are taken, as `video_url`."""
    cache_control: bool = False
    """Whether parts may carry `cache_control`."""
    reasoning: ReasoningStyle = ReasoningStyle.EFFORT
    shows_reasoning: bool = True
    """Whether answers can show the thinking."""
    reasoning_replay: str = ""
    """The field of an assistant message that takes its earlier thinking back; empty for none."""


OPENAI = Quirks(shows_reasoning=False)

COMPATIBLE = Quirks(max_tokens_field="max_tokens", developer_role=False)
"""What to expect of a compatible server that nobody has described."""
