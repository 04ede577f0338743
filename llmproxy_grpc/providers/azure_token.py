"""Access tokens of Microsoft Entra ID for Azure's models."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from llmproxy_grpc.providers.expiring import Expiring
from llmproxy_grpc.providers.token_trouble import Absent

SCOPE: Final = "https://cognitiveservices.azure.com/.default"


def azure_token() -> Expiring[str]:
    """Tokens of the credentials that azure-identity finds: a managed identity, a service principal, the user's own.

    Raises:
        ValueError: azure-identity is not installed.
    """
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise ValueError("credentials of Entra ID need the extra `azure` of llmproxy-grpc; or give an api_key")
    return Expiring(fetch_token)


def fetch_token() -> tuple[str, float]:
    """Gives a token, and when it ends, in seconds since 1970; blocks, and raises whatever azure-identity raises."""
    # Its imports take a while, and many have no use for them.
    from azure.identity import CredentialUnavailableError, DefaultAzureCredential  # noqa: PLC0415

    with DefaultAzureCredential() as credential:
        heard = _listen(credential)
        try:
            token: Any = credential.get_token(SCOPE)
        except Exception as error:  # noqa: BLE001 - of its parts' errors it tells the words alone
            broke = heard[-1] if heard else error
            gone = Absent("azure-identity finds no credential")
            failure = gone if isinstance(broke, CredentialUnavailableError) else broke
        else:
            return token.token, float(token.expires_on)
    raise failure


def _listen(chain: Any) -> list[Exception]:
    """The errors of the credentials in a chain, as they come; one that is not there goes on to the next."""
    heard: list[Exception] = []

    def told(get_token: Callable[..., Any]) -> Callable[..., Any]:
        def get(*scopes: str, **options: Any) -> Any:
            try:
                return get_token(*scopes, **options)
            except Exception as error:
                heard.append(error)
                raise

        return get

    for credential in getattr(chain, "credentials", ()):
        credential.get_token = told(credential.get_token)
    return heard
