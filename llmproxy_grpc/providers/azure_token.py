"""Access tokens of Microsoft Entra ID for Azure's models."""

from importlib.util import find_spec
from typing import Any, Final

from llmproxy_grpc.providers.expiring import Expiring

SCOPE: Final = "https://cognitiveservices.azure.com/.default"


def azure_token() -> Expiring[str]:
    """Tokens of the credentials that azure-identity finds: a managed identity, a service principal, the user's own.

    Raises:
        ValueError: azure-identity is not installed.
    """
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise ValueError("credentials of Entra ID need the extra `azure` of llmproxy-grpc; or give an api_key")
    return Expiring(_fetch)


def _fetch() -> tuple[str, float]:
    # Its imports take a while, and many have no use for them.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    with DefaultAzureCredential() as credential:
        token: Any = credential.get_token(SCOPE)
    return token.token, float(token.expires_on)
