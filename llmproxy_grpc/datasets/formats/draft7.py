"""Schemas by the rules of JSON Schema's draft 7, which Mistral's reader judges those of tools by."""

import re
import warnings
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from llmproxy_grpc.datasets.formats.schema_memory import remembering

# Patterns like [[a] are ones all the same. Once, and for this module alone: `catch_warnings` around each of them would
# change what every thread of the process is warned of, and exports run in several.
warnings.filterwarnings("ignore", category=FutureWarning, module=re.escape(__name__))

_LONG: Final = 1024
"""Characters of a pattern that is not kept."""
_Type = Literal["array", "boolean", "integer", "null", "number", "object", "string"]
_Count = Annotated[float, Meta(ge=0, multiple_of=1)]
_Schemas = Annotated[list["_Schema | bool"], Meta(min_length=1)]


class _Schema(Struct, gc=False, rename="camel"):
    """What each keyword takes; others are free."""

    id: str = msgspec.field(name="$id", default="")
    schema: str = msgspec.field(name="$schema", default="")
    ref: str = msgspec.field(name="$ref", default="")
    comment: str = msgspec.field(name="$comment", default="")
    title: str = ""
    description: str = ""
    read_only: bool = False
    examples: list[Any] = []
    multiple_of: float = 1
    maximum: float = 0
    exclusive_maximum: float = 0
    minimum: float = 0
    exclusive_minimum: float = 0
    max_length: _Count = 0
    min_length: _Count = 0
    pattern: str = ""
    additional_items: "_Schema | bool" = True
    items: "_Schema | bool | _Schemas" = True
    max_items: _Count = 0
    min_items: _Count = 0
    unique_items: bool = False
    contains: "_Schema | bool" = True
    max_properties: _Count = 0
    min_properties: _Count = 0
    required: list[str] = []
    additional_properties: "_Schema | bool" = True
    definitions: dict[str, "_Schema | bool"] = {}
    properties: dict[str, "_Schema | bool"] = {}
    pattern_properties: dict[str, "_Schema | bool"] = {}
    dependencies: dict[str, "_Schema | bool | list[str]"] = {}
    property_names: "_Schema | bool" = True
    enum: list[Any] = []
    type: "_Type | Annotated[list[_Type], Meta(min_length=1)]" = "object"
    format: str = ""
    content_media_type: str = ""
    content_encoding: str = ""
    if_: "_Schema | bool" = msgspec.field(name="if", default=True)
    then: "_Schema | bool" = True
    else_: "_Schema | bool" = msgspec.field(name="else", default=True)
    all_of: _Schemas = []
    any_of: _Schemas = []
    one_of: _Schemas = []
    not_: "_Schema | bool" = msgspec.field(name="not", default=True)

    def __post_init__(self) -> None:
        if self.multiple_of <= 0:
            raise ValueError("a multiple of nothing")
        for texts in (self.required, self.type, *self.dependencies.values()):
            if isinstance(texts, list) and len(set(texts)) < len(texts):
                raise ValueError("a name twice")
        for pattern in (self.pattern, *self.pattern_properties):
            _compile(pattern)


def _compile(pattern: str) -> None:
    try:
        _compile_unwarned(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError("no pattern") from error
    if len(pattern) > _LONG:
        re.purge()  # it would keep some hundreds, each of which takes eight times its length


def _compile_unwarned(pattern: str) -> None:
    try:
        re.compile(pattern)
    except FutureWarning:  # somebody has made errors of them behind our filter, as tests do and no server does
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(pattern)


_SCHEMA = msgspec.json.Decoder(_Schema)


@remembering
def is_valid(schema: bytes) -> bool:
    """Whether each keyword has a value of its kind; `"required": true` of a property, say, is of an older draft."""
    try:
        _SCHEMA.decode(schema)
    except (ValueError, RecursionError):
        return False
    return True
