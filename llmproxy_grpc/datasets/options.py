"""What a dataset is written as, and what becomes of the parts that readers disagree about."""

from enum import IntEnum

from msgspec import Struct


class Format(IntEnum):
    """Formats of lines, with the numbers of the API; RECORDS is none, it leaves as messages."""

    OPENAI_CHAT = 2
    OPENAI_PREFERENCE = 3
    TRL_PROMPT_COMPLETION = 4
    TRL_PREFERENCE = 5
    TRL_KTO = 6
    SHAREGPT = 7
    ALPACA = 8
    GEMINI = 9
    BEDROCK_CONVERSE = 10
    MISTRAL = 11
    FULL_JSON = 12
    CSV = 13


class ReasoningOutput(IntEnum):
    """What becomes of the model's thinking, with the numbers of the API."""

    OMIT = 0
    FIELD = 1
    THINK_TAGS = 2


class Options(Struct, frozen=True, kw_only=True):
    """How examples become lines.

    Attributes:
        reasoning: What becomes of thinking that can be read; what is hidden or encrypted is always left out.
        prefer_demonstration: Takes the demonstration for the answer where there is one.
        drop_system: Leaves out messages of the system and the developer.
        merge_turns: Joins consecutive messages of one role.
        max_tokens: Leaves out examples with more tokens; 0 for no limit.
    """

    reasoning: ReasoningOutput = ReasoningOutput.OMIT
    prefer_demonstration: bool = False
    drop_system: bool = False
    merge_turns: bool = False
    max_tokens: int = 0


AS_RECORDED = Options()
"""The options under which a line depends on the record alone, and so can be kept ready beside it."""
