import errno
import os
import socket

import pytest

from llmproxy_grpc.providers.shortage import is_ours
from tests.fakes.files import no_files


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("EMFILE", True),
        ("ENFILE", True),
        ("ENOBUFS", True),
        ("ENOMEM", True),
        ("EADDRNOTAVAIL", True),
        ("ECONNREFUSED", False),
        ("ENETUNREACH", False),
        ("ETIMEDOUT", False),
    ],
)
def test_what_the_proxy_has_run_out_of_is_its_own_affair(name, ours):
    code = getattr(errno, name)
    assert is_ours(OSError(code, os.strerror(code))) is ours


def test_a_name_that_is_not_known_may_be_a_file_that_could_not_be_opened():
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert not is_ours(error)
    with no_files():
        assert is_ours(error)


@pytest.mark.parametrize("error", [None, OSError("words alone"), ValueError(errno.EMFILE)], ids=repr)
def test_nor_is_what_says_nothing(error):
    assert not is_ours(error)
