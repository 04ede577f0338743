"""The files that a configuration names: itself, secrets, certificates, models, prices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import structs

from llmproxy_grpc.config.tree import SECRETS, KeyPath, Node, Problem, patterns, rewrite

LARGEST_FILE: Final = 1024 * 1024
LARGEST_SECRET: Final = 64 * 1024

_FILES: Final = frozenset(
    ("grpc.tls.cert", "grpc.tls.key", "grpc.tls.client_ca", "providers[].model_file", "prices.file")
)


def read_text(file: Path, largest: int) -> str:
    """The text of a small UTF-8 file, without a byte order mark; raises ValueError saying why it cannot be read."""
    try:
        with file.open("rb") as opened:
            data = opened.read(largest + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("has a null byte in its path") from None
    if len(data) > largest:
        raise ValueError(f"is larger than {largest} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def read_secrets(root: Node, problems: list[Problem], read: list[Path]) -> Node:
    """The tree with `{file: PATH}` replaced by the secret in that file; appends the files to `read`."""

    def change(path: KeyPath, node: Node) -> Node:
        if not isinstance(node.value, Mapping) or SECRETS.isdisjoint(patterns(path)):
            return node
        try:
            return structs.replace(node, value=_secret(node, read))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
            return node

    return rewrite(root, change)


def resolve_files(root: Node, problems: list[Problem]) -> Node:
    """The tree with the paths of certificates, models and prices made absolute; each must exist."""

    def change(path: KeyPath, node: Node) -> Node:
        if not isinstance(node.value, str) or not node.value or _FILES.isdisjoint(patterns(path)):
            return node
        file = node.source.folder / node.value
        if not _is_file(file):
            problems.append(Problem(path, "is no file"))
        return structs.replace(node, value=str(file), written=node.written or node.value)

    return rewrite(root, change)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # the name is too long, or a folder is closed to us
        return False


def _secret(node: Node, read: list[Path]) -> str:
    if not node.source.is_file:
        raise ValueError("must be the secret itself; {file: PATH} works in the configuration file alone")
    entry = node.value.get("file") if isinstance(node.value, Mapping) and len(node.value) == 1 else None
    if entry is None or not isinstance(entry.value, str) or not entry.value:
        raise ValueError("must be text, or {file: PATH}")
    file = node.source.folder / entry.value
    read.append(file)
    try:
        text = read_text(file, LARGEST_SECRET)
    except ValueError as error:
        # The path itself stays unsaid: people put the secret there.
        is_elsewhere = not _is_file(file) and not Path(entry.value).is_absolute()
        where = "; its path begins at the configuration file's folder" if is_elsewhere else ""
        raise ValueError(f"names a file that {error}{where}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError("names an empty file")
    return secret
