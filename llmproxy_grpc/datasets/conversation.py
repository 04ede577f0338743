"""The conversation of an example, checked by what every reader demands of it."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.options import Options, ReasoningOutput
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn, merged, turns_of
from llmproxy_grpc.messages import Message, Role


class Conversation(Struct, frozen=True):
    """What was said, and the answer to learn from."""

    prompt: Sequence[Turn]
    answer: Turn

    @property
    def turns(self) -> Sequence[Turn]:
        """All of it."""
        return [*self.prompt, self.answer]


def conversation_of(example: Example, options: Options) -> Conversation:
    """Gives prompt and answer, by the options.

    Raises:
        Unfit: There is none, or no reader would take it.
    """
    answer = answer_of(example, options)
    prompt = prompt_of(example, options)
    turn = answer_turn(answer, options)
    check_tool_calls([*prompt, turn])
    if options.merge_turns and prompt and prompt[-1].role is Role.ASSISTANT:
        # The answer goes on where the prompt's last words, a prefill, end.
        *prompt, begun = prompt
        turn = replace(
            turn, text=begun.text + turn.text, pieces=begun.pieces + turn.pieces, calls=begun.calls + turn.calls
        )
    return Conversation(prompt, turn)


def answer_of(example: Example, options: Options) -> Message:
    """The answer to learn from: the first candidate's, or the demonstration.

    Raises:
        Unfit: There is none.
    """
    if not example.request.messages:
        raise Unfit(SkipReason.NO_CONTENT)
    if options.prefer_demonstration and example.demonstration is not None:
        return example.demonstration
    if not example.candidates:
        raise Unfit(SkipReason.NO_ANSWER)
    return example.candidates[0].message


def prompt_of(example: Example, options: Options) -> list[Turn]:
    """The turns before the answer.

    Raises:
        Unfit: There are none, or no reader would take them.
    """
    turns = turns_of(example.request.messages, drop_system=options.drop_system)
    if options.reasoning is not ReasoningOutput.FIELD:
        turns = [replace(turn, reasoning="") if turn.reasoning else turn for turn in turns]
    if not turns:
        raise Unfit(SkipReason.NO_CONTENT)
    return merged(turns) if options.merge_turns else turns


def answer_turn(answer: Message, options: Options) -> Turn:
    """An answer's turn, with its thinking by the options.

    Raises:
        Unfit: It says nothing, or is no answer.
    """
    if answer.role is not Role.ASSISTANT:
        raise Unfit(SkipReason.MISPLACED_PART)
    (turn,) = turns_of((answer,))
    if not turn.reasoning or options.reasoning is ReasoningOutput.FIELD:
        return turn
    if options.reasoning is ReasoningOutput.OMIT:
        return replace(turn, reasoning="")
    thought = f"<think>\n{turn.reasoning}\n</think>\n\n"
    if turn.pieces:
        return replace(turn, reasoning="", pieces=(thought, *turn.pieces))
    return replace(turn, reasoning="", text=thought + turn.text)


def check_tool_calls(turns: Iterable[Turn]) -> None:
    """Checks that every call but those of the last turn is answered before anybody else speaks.

    Raises:
        Unfit: A call without an answer, an answer without a call, or two calls with one id.
    """
    waiting: set[str] = set()
    for turn in turns:
        if turn.role is Role.TOOL:
            if turn.result_of not in waiting:
                raise Unfit(SkipReason.ORPHAN_TOOL_RESULT)
            waiting.discard(turn.result_of)
        elif waiting:
            raise Unfit(SkipReason.UNANSWERED_TOOL_CALL)
        elif turn.calls:
            waiting = {call.id for call in turn.calls}
            if len(waiting) != len(turn.calls):
                raise Unfit(SkipReason.DUPLICATE_TOOL_CALL)
