"""Short names of enum values: `SERVING` for `SERVING_STATUS_SERVING`."""

from google.protobuf.descriptor import EnumDescriptor


def short(kind: EnumDescriptor, value: int) -> str:
    """The value's name without its enum's prefix; empty for unspecified, the number for one of a newer server."""
    if value == 0:
        return ""
    known = kind.values_by_number
    if value not in known:
        return str(value)
    # The zero of each enum is its prefix and UNSPECIFIED.
    return known[value].name.removeprefix(known[0].name.removesuffix("UNSPECIFIED"))
