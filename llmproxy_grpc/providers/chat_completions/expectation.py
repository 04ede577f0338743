"""What was asked for, as far as reading the answer needs it."""

from msgspec import Struct


class Expectation(Struct, frozen=True, kw_only=True):
    """What is expected of the answer to one request."""

    model: str
    candidates: int = 1
    counts_candidates: bool = True
    """Whether usage counts all of them, if there are several."""
    show_thinking: bool = True
    """Whether the caller wants to see the thinking."""
    keep_thinking: bool = False
    """Whether thinking that is not shown has to come back in the next turn."""
    thinking_in_content: bool = False
    """Whether thinking among the content goes back there, each with its signature, whether it is shown or not."""
    pictures: bool = False
    """Whether there may be pictures beside the content."""
    audio_type: str = "audio/wav"
    """The media type of sound."""

    def is_counted(self, candidates: int) -> bool:
        """Whether usage is that of the whole answer, of which so many candidates have come."""
        return self.counts_candidates or max(candidates, self.candidates) <= 1
