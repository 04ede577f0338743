"""TRL_KTO: {"prompt": [...], "completion": [...], "label": true}, from single judgements."""

from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.trl_prompt_completion import line
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit


def render(example: Example, options: Options) -> bytes:
    """Writes an example.

    Raises:
        Unfit: Nobody judged it, or it has no valid line.
    """
    if options.prefer_demonstration and example.demonstration is not None:
        # The judgement was of the answer that the demonstration replaces.
        return line(example, options, label=True)
    if example.label is None:
        raise Unfit(SkipReason.NO_LABEL)
    return line(example, options, label=example.label)
