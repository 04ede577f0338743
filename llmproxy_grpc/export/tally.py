"""What has been dealt with so far: how far, how many, and why others were left out."""

from collections import Counter
from collections.abc import Mapping

from llmproxy_grpc.export.progress import FileState, Progress


class Tally:
    """Counts records; begins where an earlier export has stopped.

    Args:
        progress: Where that is.
        counts_matches: Whether records are found to match one by one; else a plan has counted them before.
    """

    def __init__(self, progress: Progress, *, counts_matches: bool) -> None:
        self._match = int(counts_matches)
        self.cursor = progress.cursor
        self.matched = progress.matched
        self.selected = progress.selected
        self.written = progress.written
        self.files = progress.files
        self.skipped: Counter[str] = Counter(progress.skipped)
        self.redacted: Counter[str] = Counter(progress.redacted)

    def write(self, cursor: int, records: int, redacted: Mapping[str, int]) -> None:
        """Some records were written, the last of them at the cursor, with so many values hidden by class."""
        self.matched += self._match * records
        self.selected += records
        self.written += records
        self.cursor = cursor
        if redacted:
            self.redacted.update(redacted)

    def skip(self, cursor: int, reason: str, *, selected: bool) -> None:
        """A record was left out; `selected` unless it never was to be written."""
        self.matched += self._match
        self.selected += selected
        self.skipped[reason] += 1
        self.cursor = cursor

    def progress(self, file: FileState) -> Progress:
        """The state now, within a file."""
        return Progress(
            cursor=self.cursor,
            file=file,
            matched=self.matched,
            selected=self.selected,
            written=self.written,
            files=self.files,
            skipped=dict(self.skipped),
            redacted=dict(self.redacted),
        )
