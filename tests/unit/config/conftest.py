"""A folder with a configuration."""

import pytest


@pytest.fixture
def write(tmp_path):
    def write(text, name="llmproxy.yaml"):
        (tmp_path / name).write_text(text)

    return write
