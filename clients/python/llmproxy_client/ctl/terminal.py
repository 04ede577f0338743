"""Where llmproxyctl writes: answers and tables to standard output, everything about the call to standard error."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from llmproxy_client.errors import Failure
from llmproxy_client.names import short
from llmproxy_client.v1.chat_pb2 import Warning as ProxyWarning
from llmproxy_client.v1.error_pb2 import Attempt, ErrorDetail, ErrorReason

# What could steer a terminal: models and providers choose the text that is shown.
_STEERING = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
_DIM, _PLAIN, _CLEAR, _CLEAR_LINE = "\x1b[2m", "\x1b[0m", "\x1b[2J\x1b[H", "\x1b[K"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Standard output and standard error; control characters are left out of what a terminal shows."""

    out: TextIO
    err: TextIO

    def text(self, piece: str) -> None:
        """Writes a piece of an answer at once."""
        self.out.write(clean(piece) if self.out.isatty() else piece)
        self.out.flush()

    def line(self, text: str) -> None:
        """Writes a line of an answer."""
        self.text(f"{text}\n")

    def json(self, message: Message) -> None:
        """Writes a message as one line of JSON."""
        self.line(MessageToJson(message, indent=None, ensure_ascii=False))

    def value(self, value: object) -> None:
        """Writes a value as one line of JSON."""
        self.line(json.dumps(value, ensure_ascii=False))

    def progress(self, text: str) -> None:
        """Shows a line in place of the one before to somebody who watches; an empty one clears it."""
        if self.err.isatty():
            self.err.write(f"\r{_CLEAR_LINE}{clean(text)}")
            self.err.flush()

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Writes rows in columns; a dash stands for what is empty."""
        rows = [[clean(cell) or "-" for cell in row] for row in rows]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def next_page(self) -> None:
        """Starts anew, for something that is shown again and again."""
        self.out.write(_CLEAR if self.out.isatty() else "\n")

    def thought(self, piece: str) -> None:
        """Shows thinking dimly to somebody who watches; it is no part of the output."""
        if self.err.isatty():
            self.err.write(f"{_DIM}{clean(piece)}{_PLAIN}")
            self.err.flush()

    def note(self, text: str) -> None:
        """Says something about the call."""
        self.err.write(f"llmproxyctl: {clean(text)}\n")
        self.err.flush()

    def warning(self, warning: ProxyWarning) -> None:
        """Says what of a call was ignored or changed."""
        where = f" {warning.field}" if warning.field else ""
        self.note(f"{warning.code}{where}: {warning.message}")

    def failure(self, failure: Failure) -> None:
        """Says why a call failed: code, reason and message, wrong fields, what was tried, what finds it in the logs."""
        self.note(failure.headline)
        notes = [f"{violation.field}: {violation.description}" for violation in failure.violations]
        notes += _provider(failure.detail)
        notes += [_attempt(attempt) for attempt in failure.detail.attempts]
        if failure.retry_after is not None:
            notes.append(f"try again in {failure.retry_after:g} s")
        if failure.request_id:
            notes.append(f"request id {failure.request_id}")
        for note in notes:
            self.err.write(f"  {clean(note)}\n")


def _provider(detail: ErrorDetail) -> list[str]:
    """The provider that failed last, its HTTP status and its own words, as far as they are known."""
    said = {
        "provider": detail.provider,
        "HTTP status": detail.upstream_http_status,
        "the provider said": detail.upstream_message,
    }
    return [f"{name}: {value}" for name, value in said.items() if value]


def _attempt(attempt: Attempt) -> str:
    took = attempt.latency.seconds + attempt.latency.nanos / 1e9
    outcome = short(ErrorReason.DESCRIPTOR, attempt.reason) or "OK"
    return f"attempt {attempt.provider}/{attempt.upstream_model}: {outcome} after {took:.3f} s"


def clean(text: str) -> str:
    """The text without control characters; line ends and tabs stay."""
    return text.translate(_STEERING)
