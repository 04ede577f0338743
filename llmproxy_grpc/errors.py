"""Everything that can go wrong with a call, as one tree.

    ProxyError
    ├── RequestError                the caller has to change something
    │   ├── InvalidRequest          a rule of the API or of the provider; names every wrong field
    │   │   ├── UnsupportedParameter    no target can do what a field asks
    │   │   └── FeatureDisabled         a set field whose feature is off or not built
    │   ├── ContextLengthExceeded   prompt and output do not fit
    │   ├── PromptBlocked           the provider's policy blocked the prompt
    │   ├── PermissionDenied        the caller may not do that
    │   ├── ResumeTokenInvalid      of another export or caller, or damaged
    │   ├── ResumeTokenExpired      its export no longer exists
    │   ├── ModelNotFound
    │   ├── ResourceNotFound        no such provider, plan or health service
    │   ├── MethodNotImplemented
    │   └── CapabilityNotSupported
    ├── UpstreamError               a provider failed
    │   ├── CredentialsRejected     ours, by the provider
    │   ├── UpstreamRateLimited
    │   ├── UpstreamQuotaExhausted
    │   ├── UpstreamServerError
    │   ├── UpstreamOverloaded
    │   ├── UpstreamUnreachable     nothing was sent
    │   ├── UpstreamTimeout
    │   ├── UpstreamProtocolError   an answer that cannot be read
    │   └── UpstreamStreamBroken    broke off before its end marker
    ├── NoProviderAvailable
    ├── LoopDetected                proxies that point at each other
    ├── ProxyOverloaded
    ├── Draining
    ├── SlowConsumer
    ├── DeadlineExceeded
    ├── CallerCancelled             the caller left: told to observers, never sent
    ├── Outrun                      another attempt of the call was faster: of attempts alone
    └── InternalError               our bug

Raise the class that says what failed; its `reason` is the contract's. `server/status.py` gives each class its gRPC
code, and a test walks the tree. Messages are ours and fixed; the provider's own words travel in `Fault`, scrubbed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct

MOST_NAMED: Final = 8
"""Fields that a message names; an error's violations name more of them."""


def name_fields(paths: Sequence[str]) -> str:
    """The first eight paths, for a message, and how many more there are: a request may have thousands."""
    named = ", ".join(paths[:MOST_NAMED])
    return named if len(paths) <= MOST_NAMED else f"{named} and {len(paths) - MOST_NAMED} more"


class FieldViolation(Struct, frozen=True):
    """One wrong field: its path, such as `messages[2].parts[0].tool_result`, and what to do."""

    field: str
    description: str


class Fault(Struct, frozen=True):
    """What a provider said when it failed; `message` is scrubbed and at most 256 bytes."""

    provider: str = ""
    upstream_model: str = ""
    http_status: int = 0
    code: str = ""
    message: str = ""
    request_id: str = ""


class ProxyError(Exception):
    """A call failed, for a reason that the caller may know.

    Args:
        message: What happened and what to do, fit for the caller: no secret, no prompt, no exception text.
        fault: What the provider said, if one failed.
        retry_after: Seconds until it is worth trying again, if known.
        metadata: The variables of the message, lowerCamelCase, for ErrorInfo.metadata.
    """

    reason: ClassVar[str] = ""
    """The contract's reason, such as UPSTREAM_TIMEOUT; empty for the branches of the tree, which nobody raises."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later."""

    failover: bool = False
    """Whether another target may succeed now: by its class, or since the provider says that its model got it wrong."""

    again: bool = True
    """Whether the same target may be asked again: its provider may say that this is of no use."""

    usage: object = None
    """What the failed attempt used, if the provider says so: a `Usage`, of `messages` a layer above."""

    def __init__(
        self,
        message: str,
        *,
        fault: Fault | None = None,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fault = fault
        self.retry_after = retry_after
        self.metadata: Mapping[str, str] = metadata or {}


class RequestError(ProxyError):
    """The caller has to change something."""


class InvalidRequest(RequestError):
    """The request breaks a rule of the API (then `violations` names every wrong field) or of the provider."""

    reason = "INVALID_REQUEST"

    def __init__(self, message: str, *, violations: Sequence[FieldViolation] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.violations = tuple(violations)


class UnsupportedParameter(InvalidRequest):
    """No target can do what a field asks."""

    reason = "UNSUPPORTED_PARAMETER"
    failover = True


class ContextLengthExceeded(RequestError):
    """Prompt and output do not fit the model's context."""

    reason = "CONTEXT_LENGTH_EXCEEDED"


class PromptBlocked(RequestError):
    """The provider's policy blocked the prompt."""

    reason = "PROMPT_BLOCKED"


class PermissionDenied(RequestError):
    """The caller may not use this method."""

    reason = "PERMISSION_DENIED"


class ResumeTokenInvalid(RequestError):
    """The resume token is malformed, or belongs to another export or caller."""

    reason = "RESUME_TOKEN_INVALID"


class ResumeTokenExpired(RequestError):
    """The resume token's export no longer exists."""

    reason = "RESUME_TOKEN_EXPIRED"


class ModelNotFound(RequestError):
    """No such model, here or at the provider."""

    reason = "MODEL_NOT_FOUND"
    failover = True


class ResourceNotFound(RequestError):
    """No such provider, plan or health service."""

    reason = "RESOURCE_NOT_FOUND"


class FeatureDisabled(InvalidRequest):
    """A field is set whose feature is switched off or not built."""

    reason = "FEATURE_DISABLED"


class MethodNotImplemented(RequestError):
    """This server does not offer the method yet."""

    reason = "METHOD_NOT_IMPLEMENTED"


class CapabilityNotSupported(RequestError):
    """No target of the model has this capability."""

    reason = "CAPABILITY_NOT_SUPPORTED"
    failover = True


class UpstreamError(ProxyError):
    """A provider failed; another one may do better."""

    retryable = True
    failover = True


class CredentialsRejected(UpstreamError):
    """The provider refuses the proxy's own credential."""

    reason = "UPSTREAM_CREDENTIALS_REJECTED"
    retryable = False


class UpstreamRateLimited(UpstreamError):
    """The provider limits our rate."""

    reason = "UPSTREAM_RATE_LIMITED"


class UpstreamQuotaExhausted(UpstreamError):
    """Our account at the provider has no quota or credit left."""

    reason = "UPSTREAM_QUOTA_EXHAUSTED"
    retryable = False


class UpstreamServerError(UpstreamError):
    """The provider answered 5xx."""

    reason = "UPSTREAM_SERVER_ERROR"


class UpstreamOverloaded(UpstreamError):
    """The provider says that it is overloaded."""

    reason = "UPSTREAM_OVERLOADED"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider: DNS, TCP or TLS. Nothing was sent."""

    reason = "UPSTREAM_UNREACHABLE"


class UpstreamTimeout(UpstreamError):
    """The provider was too slow for a time limit of the proxy."""

    reason = "UPSTREAM_TIMEOUT"


class UpstreamProtocolError(UpstreamError):
    """The provider's answer cannot be read."""

    reason = "UPSTREAM_PROTOCOL_ERROR"


class UpstreamStreamBroken(UpstreamError):
    """The provider broke off before its end marker."""

    reason = "UPSTREAM_STREAM_BROKEN"


class NoProviderAvailable(ProxyError):
    """No target may be tried now; of one attempt: its provider has been taken out of service."""

    reason = "NO_PROVIDER_AVAILABLE"
    retryable = True
    failover = True


class LoopDetected(ProxyError):
    """The call has passed too many proxies: some of them point at each other."""

    reason = "LOOP_DETECTED"


class ProxyOverloaded(ProxyError):
    """The proxy sheds load: of all calls, or of those to one provider (then another target may serve)."""

    reason = "PROXY_OVERLOADED"
    retryable = True
    failover = True


class Draining(ProxyError):
    """This replica is draining; another one serves."""

    reason = "DRAINING"
    retryable = True


class SlowConsumer(ProxyError):
    """The caller reads too slowly."""

    reason = "SLOW_CONSUMER"


class DeadlineExceeded(ProxyError):
    """The caller's deadline, or the proxy's cap on it."""

    reason = "DEADLINE_EXCEEDED"


class CallerCancelled(ProxyError):
    """The caller left; observers are told, nobody is left to be answered."""

    reason = "CALLER_CANCELLED"


class Outrun(ProxyError):
    """Another attempt of the call was faster; told of attempts alone, for the call itself goes on."""

    reason = "OUTRUN"


class InternalError(ProxyError):
    """A bug of the proxy."""

    reason = "INTERNAL"
