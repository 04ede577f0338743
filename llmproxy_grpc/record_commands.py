"""`llmproxy records`: what operators do with the records of a server, running or not."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from llmproxy_grpc.config.operations import RecordsConfig
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.records.end_users import end_users
from llmproxy_grpc.records.erasure import erase
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.record import parse_id, spell_id
from llmproxy_grpc.records.spool.room import spool_bytes
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.store import Erase
from llmproxy_grpc.records.stores import SQLITE, described, opener

LAST = 2**63 - 1
"""Behind every position."""


def show_statistics(config: Config) -> None:
    """Prints how much is kept.

    Raises:
        FileNotFoundError: No server has ever kept records there.
    """
    records = config.records
    places = _places(records)
    reader = opener(records.store, places)().reader()
    try:
        found = reader.statistics()
    finally:
        reader.close()
    rows = {
        "records": found.records,
        "with content": found.bodies,
        "feedback": found.feedback,
        "erased": found.tombstones,
        "open calls": found.open_calls,
        "oldest": _moment(found.oldest),
        "newest": _moment(found.newest),
        "store bytes": found.bytes,
        "spool bytes": spool_bytes(places.spool),
        "quarantined": len(list(places.quarantine.glob("*.bin"))),
    }
    for name, value in rows.items():
        print(f"{name:<13} {value}")


def erase_records(config: Config, options: argparse.Namespace) -> int:
    """Erases by id, end user or conversation, and prints how many records there were; returns the exit status.

    Raises:
        FileNotFoundError: No server has ever kept records there.
    """
    records = config.records
    try:
        record_id = None if options.id is None else parse_id(options.id)
    except ValueError:
        return _wrong("--id: must be the id of a ChatResponse or a StreamStart")
    if "" in (options.end_user, options.conversation, options.tenant):
        return _wrong("--end-user, --conversation and --tenant: must not be empty")
    places = _places(records)
    what = Erase(tenant=options.tenant, id=record_id, conversation=options.conversation)
    named = [what] if options.end_user is None else _of_end_user(options.end_user, options.tenant, records, places)
    erased = erase(places, opener(records.store, places), *named, clock_us=lambda: time.time_ns() // 1000)
    print(f"erased {erased} record{'s' * (erased != 1)} in {described(records.store, places)}")
    return 0


def show_erased(config: Config, tenant: str) -> None:
    """Prints a line of JSON for each record that was erased, in the order of their positions.

    Raises:
        FileNotFoundError: No server has ever kept records there.
    """
    records = config.records
    reader = opener(records.store, _places(records))().reader()
    try:
        for stone in reader.tombstones(tenant, 0, LAST):
            told = {"id": spell_id(stone.id), "seq": stone.seq, "reason": stone.reason, "time": _moment(stone.at)}
            print(json.dumps(told))
    finally:
        reader.close()


def _places(records: RecordsConfig) -> Places:
    """The folder of the records: one that is made now would answer that nothing is kept, whatever is kept elsewhere."""
    places = Places(Path(records.directory))
    if records.store == SQLITE and not places.store.exists() and not segments(places.spool):
        raise FileNotFoundError(
            f"there are no records in {places.folder.resolve()}: give the server's configuration by --config, or run "
            "this where the server was started (records.directory)"
        )
    return places


def _wrong(usage: str) -> int:
    print(f"llmproxy: {usage}", file=sys.stderr)
    return 2


def _of_end_user(end_user: str, tenant: str | None, records: RecordsConfig, places: Places) -> list[Erase]:
    """What is to be erased of an end user, whose id may have been kept in another form than it is now."""
    users = end_users(places.end_user_key, hashes=records.end_user == "hash")
    return [Erase(tenant=tenant, end_user=form) for form in users.forms(end_user)]


def _moment(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds")
