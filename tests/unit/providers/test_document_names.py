"""Names of documents, which are the same on every machine."""

import mimetypes

import pytest

from llmproxy_grpc.messages import MediaKind, MediaPart
from llmproxy_grpc.providers.document_names import filename_of


def document(media_type, **fields):
    return MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type=media_type, **fields)


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("application/pdf", "document.pdf"),
        ("Text/Plain; charset=utf-8", "document.txt"),
        ("text/markdown", "document.md"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document.docx"),
        ("application/xml", "document.xml"),
        ("application/x-of-this-machine", "document.bin"),
        ("", "document.bin"),
    ],
)
def test_a_document_without_a_name_gets_one_by_its_type_whatever_the_machine_knows(monkeypatch, media_type, name):
    of_this_machine = mimetypes.MimeTypes(())
    of_this_machine.add_type("application/x-of-this-machine", ".own")
    monkeypatch.setattr(mimetypes, "_db", of_this_machine)
    assert filename_of(document(media_type)) == name


def test_the_name_that_the_caller_gave_stays():
    assert filename_of(document("application/pdf", filename="bill.docx")) == "bill.docx"
