"""Where everything lies in the folder of the records."""

from pathlib import Path


class Places:
    """The paths within one folder.

    Args:
        folder: The folder of the records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "records.sqlite3"
        self.spool = folder / "spool"
        self.quarantine = folder / "quarantine"
        self.ingester_lock = folder / "ingester.lock"
        """Locked by the process that ingests."""
        self.end_user_key = folder / "end-user.key"
        self.ballast = folder / "ballast"
        self.spool_id = folder / "spool.id"
        """What tells this spool from those of other hosts."""
        self.export_key = folder / "export.key"
        """Seals the resume tokens of exports, and names their plans."""
        self.plans = folder / "plans"
