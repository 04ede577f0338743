"""Schemas of functions as providers take them: of objects, and without some keywords at their top."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

_FIELDS: Final = Decoder(dict[str, Raw])
_OBJECT: Final = Raw(b'"object"')
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})


class SchemaForm(Struct, frozen=True):
    """What schemas a provider takes.

    Attributes:
        objects: Whether they have to be of objects.
        refused: The keywords that may not stand at the top. References may where properties stand beside them.
    """

    objects: bool = False
    refused: frozenset[str] = frozenset()

    def objection(self, schema: str) -> str:
        """Why the provider does not take a schema, which is a JSON object or empty; empty if it takes it."""
        if not schema or not (self.objects or self.refused):
            return ""
        said = fields_of(schema)
        if self.objects and not may_be_object(said):
            return "this provider takes schemas of objects alone"
        found = said.keys() & self.refused
        if "properties" in said:
            found -= _REFERENCES
        return f"this provider takes no {' or '.join(sorted(found))} at the top of a schema" if found else ""


def fields_of(schema: str) -> Mapping[str, Raw]:
    """What stands at the top of a schema, which is a JSON object."""
    return _FIELDS.decode(schema)


def may_be_object(fields: Mapping[str, Raw]) -> bool:
    """Whether a schema is of an object, by what stands at its top; one that says nothing of its type is."""
    return fields.get("type", _OBJECT) == _OBJECT


ANY_SCHEMA: Final = SchemaForm()
OBJECT_SCHEMA: Final = SchemaForm(objects=True)
SINGLE_SCHEMA: Final = SchemaForm(objects=True, refused=frozenset({"allOf", "anyOf", "oneOf"}))
"""Anthropic's: of an object that is no union."""
FLAT_SCHEMA: Final = SchemaForm(objects=True, refused=SINGLE_SCHEMA.refused | _REFERENCES | {"const", "enum", "not"})
"""OpenAI's: of an object that has its properties itself."""
