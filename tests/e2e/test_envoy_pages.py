"""What pages of other sites can have Envoy do."""

from tests.e2e.test_envoy import as_json, folder, post, sidecar  # noqa: F401
from tests.e2e.test_process import upstream  # noqa: F401
from tests.fakes.requests import chat_request


async def test_what_any_page_may_send_without_asking_reaches_no_worker(sidecar, upstream):  # noqa: F811
    """Browsers send these types across origins without a preflight: a page could spend money that it never sees."""
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "a/b"):
        request = as_json(chat_request("Hi there"))
        answer, _ = await post(sidecar, "Chat", request, content_type, origin="https://elsewhere.example")
        assert (content_type, answer.status) == (content_type, 403)
    assert not [request for request in upstream.requests if request.method == "POST"]
