"""Access tokens of Google Cloud, by Application Default Credentials."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from llmproxy_grpc.providers.expiring import Expiring

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def google_token() -> Expiring[str]:
    """Tokens of the credentials that google-auth finds: a service account's file, the user's, or the machine's own.

    Raises:
        ValueError: google-auth is not installed.
    """
    if find_spec("google.auth") is None:
        raise ValueError("Google Cloud's credentials need the extra `vertex` of llmproxy-grpc, or an api_key")
    return Expiring(_fetcher())


def _fetcher() -> Callable[[], tuple[str, float]]:
    def fetch() -> tuple[str, float]:
        # Its imports take a while, and many have no use for them.
        import google.auth  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415

        credentials: Any = google.auth.default(scopes=[SCOPE])[0]
        credentials.refresh(Request())
        return credentials.token, credentials.expiry.timestamp()

    return fetch
