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


class Choice(Struct, frozen=True):
    """What was said, and two answers, the better one first."""

    prompt: Sequence[Turn]
    chosen: Turn
    rejected: Turn


def conversation_of(example: Example, options: Options, *, developer: Role = Role.SYSTEM) -> Conversation:
    """Gives prompt and answer, by the options.

    Args:
        example: The example.
        options: What becomes of thinking, instructions and the rest.
        developer: The role in which the developer speaks; OpenAI alone knows one of its own.

    Raises:
        Unfit: There is none, or no reader would take it.
    """
    answer = _answer_turn(_answer_of(example, options), options)
    prompt = _prompt_of(example, options, developer)
    check_tool_calls([*prompt, answer])
    if options.merge_turns and prompt[-1].role is Role.ASSISTANT:
        *prompt, begun = prompt
        answer = _with_tags_once(_continued(begun, answer))
    return Conversation(prompt, answer)


def choice_of(example: Example, options: Options, *, developer: Role = Role.SYSTEM) -> Choice:
    """Gives a prompt and its two answers.

    Raises:
        Unfit: There are none, the answers are the same, or the prompt asks nothing.
    """
    if example.pair is None:
        raise Unfit(SkipReason.NO_PAIR)
    chosen = _answer_turn(example.pair.chosen, options)
    rejected = _answer_turn(example.pair.rejected, options)
    if _without_ids(chosen) == _without_ids(rejected):
        raise Unfit(SkipReason.EQUAL_SIDES)
    prompt = _prompt_of(example, options, developer)
    check_question(prompt)
    for side in (chosen, rejected):
        check_tool_calls([*prompt, side])
    return Choice(prompt, chosen, rejected)


def check_question(prompt: Sequence[Turn]) -> None:
    """Checks that a prompt ends on the user or a tool, for readers that put the answer apart.

    Raises:
        Unfit: It does not.
    """
    if not prompt or prompt[-1].role not in {Role.USER, Role.TOOL}:
        raise Unfit(SkipReason.NO_QUESTION)


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


def _answer_of(example: Example, options: Options) -> Message:
    if not example.request.messages:
        raise Unfit(SkipReason.NO_CONTENT)
    if options.prefer_demonstration and example.demonstration is not None:
        return example.demonstration
    if not example.candidates:
        raise Unfit(SkipReason.NO_ANSWER)
    return example.candidates[0].message


def _prompt_of(example: Example, options: Options, developer: Role) -> list[Turn]:
    turns = turns_of(example.request.messages, drop_system=options.drop_system, developer=developer)
    if not turns:
        raise Unfit(SkipReason.NO_CONTENT)
    if options.reasoning is not ReasoningOutput.FIELD:
        # In tags it belongs to the answer alone: templates take it out of earlier turns.
        turns = [replace(turn, reasoning="") if turn.reasoning else turn for turn in turns]
    return merged(turns) if options.merge_turns else turns


def _answer_turn(answer: Message, options: Options) -> Turn:
    if answer.role is not Role.ASSISTANT:
        raise Unfit(SkipReason.MISPLACED_PART)
    (turn,) = turns_of((answer,))
    if not turn.reasoning or options.reasoning is ReasoningOutput.FIELD:
        return turn
    thought = f"<think>\n{turn.reasoning}\n</think>\n\n" if options.reasoning is ReasoningOutput.THINK_TAGS else ""
    return _with_tags_once(replace(turn, reasoning="", thought=thought))


def _without_ids(answer: Turn) -> Turn:
    """What an answer says: ids of calls are made up anew for each, and nothing is to be learned from them."""
    return replace(answer, calls=tuple([replace(call, id="") for call in answer.calls]))


def _with_tags_once(answer: Turn) -> Turn:
    """Checks that readers, some of which split at the first tag and some at the last, find the thought and no more."""
    spoken = answer.spoken
    if answer.thought and not spoken.count("<think>") == spoken.count("</think>") == 1:
        raise Unfit(SkipReason.TAGS_IN_THINKING)
    return answer


def _continued(begun: Turn, answer: Turn) -> Turn:
    # The answer goes on where the prompt's last words, a prefill, end.
    return replace(
        answer,
        text=begun.text + answer.text,
        pieces=begun.pieces + answer.pieces,
        reasoning="\n\n".join(filter(None, (begun.reasoning, answer.reasoning))),
        calls=begun.calls + answer.calls,
        name=answer.name if answer.name == begun.name else "",
    )
