"""Names of participants, where a message may have one that the vendor takes."""

import re
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import Role
from llmproxy_grpc.providers.provider import Adapted, Unsupported

_OF_OPENAI: Final = re.compile(r"[^\s<|\\/>]{1,64}")


def with_possible_names(adapted: Adapted, *, openai: bool) -> Adapted:
    """Leaves out names of tools, which go by their calls' ids, and those that OpenAI refuses; all are named."""
    messages = list(adapted.request.messages)
    found: list[Unsupported] = []
    for turn, message in enumerate(messages):
        if not message.name:
            continue
        if message.role is Role.TOOL:
            why = "a tool's result goes by the id of its call"
        elif openai and not _OF_OPENAI.fullmatch(message.name):
            why = r"this provider takes 64 characters at most, and no white space, <, |, \, / or >"
        else:
            continue
        found.append(Unsupported(f"messages[{turn}].name", why))
        messages[turn] = replace(message, name="")
    if not found:
        return adapted
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found))
