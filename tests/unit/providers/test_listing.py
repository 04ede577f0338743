"""Lists that come in pages."""

import pytest

from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.providers.listing import MOST_ENTRIES, MOST_PAGES, all_pages, marked


async def test_the_pages_are_asked_for_by_their_marks_until_there_is_none():
    pages, asked = {"": ([1, 2], "a"), "a": ([], "b"), "b": ([3], "")}, []

    async def ask(mark):
        asked.append(mark)
        return pages[mark]

    assert await all_pages(ask) == [1, 2, 3]
    assert asked == ["", "a", "b"]


async def test_a_list_that_does_not_end_is_cut():
    asked = []

    async def ask(mark):
        asked.append(mark)
        return [0], "again"

    assert await all_pages(ask) == [0] * MOST_PAGES
    assert len(asked) == MOST_PAGES


async def test_a_list_that_is_too_long_is_cut():
    asked = []

    async def ask(mark):
        asked.append(mark)
        return range(MOST_ENTRIES - 1), "again"

    assert len(await all_pages(ask)) == MOST_ENTRIES
    assert len(asked) == 2


async def test_a_page_that_fails_fails_the_list():
    async def ask(mark):
        if mark:
            raise UpstreamServerError("It failed.")
        return [1], "a"

    with pytest.raises(UpstreamServerError):
        await all_pages(ask)


@pytest.mark.parametrize(
    ("mark", "path"), [("", "/v1/models?limit=9"), ("a/b&c=é", "/v1/models?limit=9&after=a%2Fb%26c%3D%C3%A9")]
)
def test_marks_are_quoted(mark, path):
    assert marked("/v1/models?limit=9", "after", mark) == path
