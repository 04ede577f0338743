"""How many tokens an example has: as its provider counted, else by the length of its texts."""

from collections.abc import Iterable

from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.messages import Message
from llmproxy_grpc.messages.sizes import size_of, tokens_in


def token_count(example: Example, *, prefer_demonstration: bool) -> int:
    """Gives the tokens of prompt and answer; of a pair, with the longer side.

    What the provider counted holds for the answer that it gave; pictures and the like are not estimated.
    """
    pair, demonstration = example.pair, example.demonstration if prefer_demonstration else None
    usage = example.figures.usage
    if pair is None and demonstration is None and usage is not None and usage.total_tokens > 0:
        return usage.total_tokens
    if pair is not None:
        answer = max(_size([pair.chosen]), _size([pair.rejected]))
    elif demonstration is not None:
        answer = _size([demonstration])
    else:
        answer = _size([candidate.message for candidate in example.candidates[:1]])
    return tokens_in(_size(example.request.messages) + answer)


def _size(messages: Iterable[Message]) -> int:
    return sum(size_of(message.parts) for message in messages)
