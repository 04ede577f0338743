"""Names of tools: whether a reader takes all those of an example."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import ChatRequest, FunctionTool

USUAL: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What OpenAI, Mistral and Bedrock take."""


def check_tool_names(request: ChatRequest, turns: Iterable[Turn], taken: re.Pattern[str] = USUAL) -> None:
    """Checks the names of the tools that are offered and of those that are called.

    Raises:
        Unfit: The reader would refuse one, and the whole file with it.
    """
    if not all(taken.fullmatch(name) for name in _names(request, turns)):
        raise Unfit(SkipReason.TOOL_NAME_INVALID)


def _names(request: ChatRequest, turns: Iterable[Turn]) -> Iterator[str]:
    for tool in request.tools:
        if isinstance(tool, FunctionTool):
            yield tool.name
    for turn in turns:
        for call in turn.calls:
            yield call.name
