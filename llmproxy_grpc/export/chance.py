"""Seeded chance: a number for each name that depends on nothing but the seed and the name."""

from hashlib import blake2b

from llmproxy_grpc.export.spec import Part, Split

_WHOLE = 2**64


def number(seed: int, purpose: str, name: bytes) -> int:
    """A whole number from 0 to 2^64 - 1, evenly spread; another one for each purpose."""
    digest = blake2b(name, digest_size=8, key=seed.to_bytes(8, signed=True), person=purpose.encode())
    return int.from_bytes(digest.digest())


def part_of(split: Split, seed: int, group: str) -> Part:
    """The part that a group belongs to, whatever else there is: new records never move old ones."""
    share = number(seed, "split", group.encode()) / _WHOLE
    if share < split.test:
        return Part.TEST
    if share < split.test + split.validation:
        return Part.VALIDATION
    return Part.TRAIN
