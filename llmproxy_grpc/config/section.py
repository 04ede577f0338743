"""What the sections of the configuration are made of: a frozen model, and the types of its values."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

from llmproxy_grpc.config.scalars import number_in


class Section(BaseModel):
    """A mapping of the configuration: frozen, unknown keys refused, and no value ever in an error's text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII, not empty, without space around it")
    return value


def _text(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable text without space around it")
    return value


def _file(value: object) -> object:
    if value == "":  # not the folder of the configuration, which an empty path would be
        raise ValueError("is empty; name a file, or leave the key out")
    return value


SECRET_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"file": {"type": "string", "minLength": 1}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ],
    "writeOnly": True,
    "x-type": "secret",
}

Whole = Annotated[int, BeforeValidator(number_in), Field(strict=True)]
"""A whole number; true is none."""

Number = Annotated[float, BeforeValidator(number_in), Field(strict=True, allow_inf_nan=False)]
"""A finite number."""

Flag = Annotated[bool, BeforeValidator(number_in), Field(strict=True)]
"""True or false; no other word for it."""

Text = Annotated[str, AfterValidator(_text), Field(min_length=1, max_length=512)]
"""One line of text."""

Secret = Annotated[SecretStr, AfterValidator(_secret), WithJsonSchema(SECRET_SCHEMA)]
"""Text that is never shown; it goes into a header."""

File = Annotated[Path, BeforeValidator(_file), WithJsonSchema({"type": "string", "minLength": 1, "x-type": "file"})]
"""Path of a file."""
