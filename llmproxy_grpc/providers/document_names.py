"""Names of documents that have none, for wires that see from a name's end what a document is."""

from collections.abc import Mapping
from typing import Final

from llmproxy_grpc.messages import MediaPart

# A table of our own: Python's is another in each version, and is completed by files of the machine, read at the first
# question on the event loop. After OpenAI's page about file inputs, with the types by which such files are known.
_ENDS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.apple.pages": "pages",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/tsv": "tsv",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.apple.keynote": "key",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/x-rst": "rst",
    "application/x-tex": "tex",
    "text/html": "html",
    "text/css": "css",
    "text/xml": "xml",
    "application/xml": "xml",
    "application/json": "json",
    "application/yaml": "yaml",
    "text/yaml": "yaml",
    "application/sql": "sql",
    "text/javascript": "js",
    "application/javascript": "js",
    "text/x-python": "py",
    "text/x-java": "java",
    "text/x-c": "c",
    "text/x-c++": "cpp",
    "application/x-sh": "sh",
    "text/vtt": "vtt",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "message/rfc822": "eml",
    "application/zip": "zip",
}


def filename_of(part: MediaPart) -> str:
    """The name that a document has, else one by its media type; `document.bin` where that tells nothing."""
    return part.filename or f"document.{_ENDS.get(part.plain_type, 'bin')}"
