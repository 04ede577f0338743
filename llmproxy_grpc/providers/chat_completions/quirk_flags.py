"""The quirks that a configuration sets, laid over those that are known of a vendor."""

from collections.abc import Mapping
from enum import Enum

from msgspec import ValidationError, convert
from msgspec.structs import FieldInfo, fields, replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.chat_completions.quirks import Quirks


def configured(quirks: Quirks, config: ProviderConfig) -> Quirks:
    """The quirks with the flags that a configuration sets.

    Raises:
        ValueError: As `overlay`; it names the provider.
    """
    try:
        return overlay(quirks, config.quirks)
    except ValueError as error:
        raise ValueError(f"provider {config.name!r}: {error}") from None


def overlay(quirks: Quirks, flags: Mapping[str, bool | int | str]) -> Quirks:
    """The quirks with some flags as configured.

    Raises:
        ValueError: A flag is unknown, or its value is none that it can have.
    """
    known = {field.name: field for field in fields(Quirks)}
    unknown = [name for name in flags if name not in known]
    if unknown:
        raise ValueError(f"quirks.{unknown[0]} is unknown; the flags are {', '.join(known)}")
    return replace(quirks, **{name: _checked(value, known[name]) for name, value in flags.items()})


def _checked(value: object, field: FieldInfo) -> object:
    try:
        read: object = convert(value, field.type)
    except ValidationError:
        raise ValueError(f"quirks.{field.name} must be {_wanted(field.default)}") from None
    return read


def _wanted(default: object) -> str:
    match default:
        case bool():
            return "true or false"
        case int():
            return "a whole number, 0 or more"
        case Enum():
            return f"one of {', '.join(style.value for style in type(default))}"
        case _:
            return "the name of a field, or a path"
