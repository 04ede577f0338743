"""Access tokens of Google Cloud, by Application Default Credentials."""

import math
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Final

from llmproxy_grpc.providers.expiring import Expiring
from llmproxy_grpc.providers.token_trouble import Absent

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def google_token() -> Expiring[str]:
    """Tokens of the credentials that google-auth finds: a service account's file, the user's, or the machine's own.

    Raises:
        ValueError: google-auth is not installed.
    """
    if find_spec("google.auth") is None:
        raise ValueError("Google Cloud's credentials need the extra `vertex` of llmproxy-grpc, or an api_key")
    return Expiring(fetch_token)


def fetch_token() -> tuple[str, float]:
    """Gives a token, and when it ends, in seconds since 1970; blocks, and raises whatever google-auth raises."""
    # Its imports take a while, and many have no use for them.
    import google.auth  # noqa: PLC0415
    from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415

    try:
        credentials: Any = google.auth.default(scopes=[SCOPE])[0]
    except DefaultCredentialsError as error:
        # It looks each time whether the machine has a metadata service, and says no if that does not answer.
        raise Absent("google-auth finds no credentials") from error
    credentials.refresh(Request())
    ends: datetime | None = credentials.expiry
    # google-auth's times are in UTC, and say nothing of it.
    return credentials.token, math.inf if ends is None else ends.replace(tzinfo=UTC).timestamp()
