"""Finds which record a new one continues, and so to which conversation it belongs."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, Protocol

from msgspec.structs import replace

from llmproxy_grpc.records.chain import HASH_BYTES
from llmproxy_grpc.records.record import Entry, Record, spell_id

MOST_ANCESTORS: Final = 64
"""Looked for, the longest first: a conversation of a thousand turns continues one of the last."""

Parents = Mapping[bytes, tuple[bytes, str]]
"""Id and conversation of records, by their full hash."""


class FindParents(Protocol):
    """Looks records of a tenant up by full hash, as the writer of a store does."""

    def __call__(self, tenant: str, hashes: Sequence[bytes]) -> Parents:
        """Id and conversation of those that are there."""
        ...


def linked(entries: Sequence[Entry], find: FindParents) -> list[Entry]:
    """The same entries with parent and conversation, in the same order; they may continue one another."""
    by_tenant = sorted(range(len(entries)), key=lambda index: entries[index].record.tenant)
    done = list(entries)
    for tenant, group in groupby(by_tenant, key=lambda index: entries[index].record.tenant):
        indices = sorted(group, key=lambda index: entries[index].record.started_at)
        wanted = {each for index in indices for each in _ancestors(entries[index].record)}
        known = dict(find(tenant, sorted(wanted))) if wanted else {}
        for index in indices:
            record = _linked(entries[index].record, known)
            done[index] = replace(done[index], record=record)
            if record.full_hash is not None:
                known.setdefault(record.full_hash, (record.id, record.conversation))
    return done


def _linked(record: Record, known: Parents) -> Record:
    parent = next((known[each] for each in _ancestors(record) if each in known), None)
    if parent is None:
        return record if record.conversation else replace(record, conversation=spell_id(record.id))
    return replace(record, parent_id=parent[0], conversation=record.conversation or parent[1])


def _ancestors(record: Record) -> list[bytes]:
    """The longest first."""
    if not record.ancestors:  # nearly always
        return []
    hashes = [record.ancestors[start : start + HASH_BYTES] for start in range(0, len(record.ancestors), HASH_BYTES)]
    return hashes[: -MOST_ANCESTORS - 1 : -1]
