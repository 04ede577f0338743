"""Words are looked for in short steps, and each text is folded once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Role
from llmproxy_grpc.records import folding
from llmproxy_grpc.records.filters import Filter, TextCondition
from llmproxy_grpc.records.matching import Facts, matches
from tests.fakes.exports import a_chat

LETTERS = st.text(st.sampled_from("aAßΣςé"), max_size=12)
"""Some of which are longer when they are folded, or written otherwise at the end of a word."""


class Counted(str):
    """A text that counts how often it is folded."""

    __slots__ = ()
    folds = 0

    def casefold(self):
        Counted.folds += 1
        return super().casefold()


@given(LETTERS)
def test_a_text_in_pieces_is_folded_as_a_whole_one(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "PIECE", 3)
        assert folding.fold(text) == text.casefold()


@given(LETTERS, LETTERS)
def test_words_that_lie_across_pieces_are_found(text, sought):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "PIECE", 3)
        assert folding.holds(text, sought) == (sought in text)


def test_a_text_is_folded_once_however_many_conditions_ask():
    Counted.folds = 0
    absent = tuple(TextCondition(f"absent {number}", negate=True) for number in range(20))
    asked = Filter(texts=absent, any_of=(Filter(texts=absent), Filter(texts=(TextCondition("SAID"),))))
    facts = Facts(a_chat("q", "a").record, texts=[(Role.USER, Counted("What was said."))])
    assert matches(asked, facts)
    assert Counted.folds == 1


def test_a_text_that_no_condition_asks_for_is_not_folded():
    Counted.folds = 0
    conditions = (TextCondition("said", case_sensitive=True), TextCondition("x", roles=(Role.ASSISTANT,), negate=True))
    facts = Facts(a_chat("q", "a").record, texts=[(Role.USER, Counted("What was said."))])
    assert matches(Filter(texts=conditions), facts)
    assert Counted.folds == 0
