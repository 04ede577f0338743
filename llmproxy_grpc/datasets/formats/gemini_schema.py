"""Schemas of Gemini's functions: whether its own subset of JSON Schema can say one."""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from llmproxy_grpc.datasets.formats.schema_memory import remembering

_Type = Literal["string", "number", "integer", "boolean", "array", "object"]


class _Schema(Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    type: _Type
    title: str = ""
    description: str = ""
    format: str = ""
    nullable: bool = False
    enum: list[str] = []
    items: "_Schema | None" = None
    properties: dict[str, "_Schema"] = {}
    required: list[str] = []
    min_items: int = 0
    max_items: int = 0
    min_properties: int = 0
    max_properties: int = 0
    min_length: int = 0
    max_length: int = 0
    pattern: str = ""
    minimum: float = 0
    maximum: float = 0
    default: Raw = Raw()

    def __post_init__(self) -> None:
        if self.enum and self.type != "string":
            raise ValueError("only texts are enumerated")


_SCHEMA = msgspec.json.Decoder(_Schema)


@remembering
def is_plain(schema: bytes) -> bool:
    """Whether a schema has nothing but what `parameters` of a FunctionDeclaration takes.

    Others, such as with several types, `const`, `oneOf` or `$ref`, are for `parametersJsonSchema`.
    """
    try:
        _SCHEMA.decode(schema)
    except (ValueError, RecursionError):
        return False
    return True
