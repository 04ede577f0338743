"""How many tokens an example has: as its provider counted, else by its length."""

from llmproxy_grpc.datasets.example import Example

BYTES_A_TOKEN = 4
"""Of English text, by most vocabularies; others have fewer."""


def token_count(example: Example, line: bytes, *, as_answered: bool) -> int:
    """Gives the tokens of an example's prompt and answer.

    Args:
        example: The example.
        line: The line that was made of it, for an estimate where nobody counted.
        as_answered: Whether the line has the answer that was counted, rather than a demonstration.
    """
    usage = example.figures.usage
    if as_answered and usage is not None and usage.total_tokens > 0:
        return usage.total_tokens
    return -(-len(line) // BYTES_A_TOKEN)
