"""What one request for an export asks for, and what its header and its end tell."""

from collections.abc import Mapping

from msgspec import Struct

from llmproxy_grpc.export.spec import Choice, Output
from llmproxy_grpc.records.filters import Window


class Job(Struct, frozen=True, kw_only=True):
    """What one request asks for.

    Attributes:
        tenant: Whose records.
        choice: Which of them; ignored with a `plan_id`.
        plan_id: A plan made before; empty for none.
        output: What is written.
        after_seq: Where the window begins.
        as_of_seq: Where it ends; 0 means now.
        as_of_feedback_seq: Up to where judgements count; 0 means now.
        chunk_bytes: Size of a chunk.
        plan_only: Whether nothing is to be written.
    """

    tenant: str
    choice: Choice
    plan_id: str = ""
    output: Output = Output()
    after_seq: int = 0
    as_of_seq: int = 0
    as_of_feedback_seq: int = 0
    chunk_bytes: int = 65536
    plan_only: bool = False


class Header(Struct, frozen=True):
    """What will come; numbers that are not counted before are -1, times are Unix seconds."""

    plan_id: str
    window: Window
    expires_at: int
    matched: int = -1
    selected: int = -1
    size: int = -1


class Summary(Struct, frozen=True):
    """What came, resumes included."""

    matched: int
    written: int
    files: int
    skipped: Mapping[str, int]
    redacted: Mapping[str, int]
