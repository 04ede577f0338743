"""Sampling settings and stop sequences that Claude would answer 400 to are named, and left out."""

import pytest

from llmproxy_grpc.messages import GenerationConfig, ReasoningConfig, ReasoningEffort
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from tests.providers.conversations import ask

FOUR, OLD, SIX, NEW, OTHER = "claude-opus-4-0", "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7", "qwen3"
THINK = ReasoningConfig(ReasoningEffort.HIGH)


@pytest.mark.parametrize(
    ("model", "settings", "named"),
    [
        (FOUR, {"temperature": 0.5, "top_p": 0.5, "top_k": 5}, []),
        (OLD, {"temperature": 0.5, "top_k": 5}, []),
        (OLD, {"top_p": 0.5, "top_k": 5}, []),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, ["top_p"]),
        (SIX, {"temperature": 1.0, "top_p": 1.0}, ["top_p"]),
        (OLD, {"temperature": 1.5}, ["temperature"]),
        (OTHER, {"temperature": 1.5, "top_p": 0.5}, []),
        (NEW, {"temperature": 0.0, "top_p": 0.1, "top_k": 1}, ["temperature", "top_p", "top_k"]),
        (NEW, {"temperature": 1.0, "top_p": 1.0}, []),
        (NEW, {"temperature": 1.0, "top_p": 0.9}, ["top_p"]),
        (OLD, {"temperature": 0.5, "reasoning": THINK}, ["temperature"]),
        (OLD, {"temperature": 1.0, "reasoning": THINK}, []),
        (OLD, {"top_p": 0.9, "top_k": 5, "reasoning": THINK}, ["top_k", "top_p"]),
        (OLD, {"top_p": 0.95, "reasoning": THINK}, []),
        (SIX, {"temperature": 0.0, "reasoning": THINK}, ["temperature"]),
        (SIX, {"temperature": 0.0, "reasoning": ReasoningConfig(ReasoningEffort.NONE)}, []),
        (OTHER, {"temperature": 0.5, "reasoning": THINK}, []),
        (OLD, {"stop_sequences": ("END", "\n\n", " x")}, ["stop_sequences"]),
        (OTHER, {"stop_sequences": ("\n\n",)}, []),
    ],
)
def test_what_a_model_does_not_take_is_named_and_left_out(model, settings, named):
    adapted = adapt_messages(ask(generation=GenerationConfig(**settings)), model)
    assert [found.field for found in adapted.unsupported] == [f"generation.{name}" for name in named]
    again = adapt_messages(adapted.request, model)
    assert (again.request, again.unsupported) == (adapted.request, ()), "what is left can be sent"


def test_of_several_stop_sequences_those_that_can_be_sent_are_kept():
    adapted = adapt_messages(ask(generation=GenerationConfig(stop_sequences=("END", "\n"))), OLD)
    assert adapted.request.generation.stop_sequences == ("END",)
