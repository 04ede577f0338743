"""What is recorded of one call: the bytes that pass anyway, and figures that are there anyway."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, model_pb2
from llmproxy_grpc.calls import Call
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import Usage
from llmproxy_grpc.records.answers import answer_of
from llmproxy_grpc.records.codec import without_words
from llmproxy_grpc.records.end_users import EndUsers
from llmproxy_grpc.records.record import DataPolicy
from llmproxy_grpc.records.spool.entries import Ended, Figures
from llmproxy_grpc.server.rpc import Rpc, Tape
from llmproxy_grpc.server.status import code_of, error_detail
from llmproxy_grpc.server.validation.bounds import MAX_MODEL
from llmproxy_grpc.wire.scalars import count, int64

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400
_MICROSECONDS: Final = 1_000_000
_POLICIES: Final = {
    chat_pb2.DATA_POLICY_METADATA_ONLY: DataPolicy.METADATA_ONLY,
    chat_pb2.DATA_POLICY_NO_TRAINING: DataPolicy.NO_TRAINING,
    chat_pb2.DATA_POLICY_FULL: DataPolicy.FULL,
}


class Rules(Struct, frozen=True):
    """The operator's own policy: whether content is kept, and how the ids of end users are."""

    content: bool
    end_users: EndUsers


class Taking:
    """What is recorded of one call.

    Args:
        rpc: The call, whose request has not been parsed yet.
        rules: The operator's policy.
    """

    def __init__(self, rpc: Rpc, rules: Rules) -> None:
        self.rpc = rpc
        self.done = False
        self.started_at = _microseconds(rpc.call.create_time)
        self._data = rpc.data
        self._rules = rules
        self._tape: Tape | None = None

    def tape(self, complete: Callable[["Taking"], Awaitable[None]]) -> Tape:
        """The tape of a stream, made when its request is known."""
        self._tape = Tape(self._policy(self._request()) is not DataPolicy.METADATA_ONLY, lambda: complete(self))
        return self._tape

    @property
    def is_cut(self) -> bool:
        """Whether content is left out of the record because the stream was too long for it."""
        return self._tape is not None and self._tape.is_cut

    def ended(self, error: ProxyError | None) -> Ended:
        """How the call ended; asked once."""
        self.done = True
        rpc, call = self.rpc, self.rpc.call
        request = self._request()
        # What no target was asked is of use to nobody, and may be as odd and as large as it likes.
        policy = self._policy(request) if call.provider else DataPolicy.METADATA_ONLY
        if self.is_cut:
            policy = DataPolicy.METADATA_ONLY
        content = policy is not DataPolicy.METADATA_ONLY
        events = self._tape.events if self._tape is not None else []
        end_user, conversation, labels = ("", "", {}) if content else self._told()
        return Ended(
            id=call.id,
            tenant=call.caller.tenant,
            caller_key_id=call.caller.key_id,
            method=call.method,
            started_at=self.started_at,
            latency_us=_since(call, time.monotonic()),
            ttft_us=None if call.first_output_at is None else _since(call, call.first_output_at),
            model=call.model[:MAX_MODEL],
            provider=call.provider,
            upstream_model=call.upstream_model,
            attempts=_attempts(call, error),
            fell_back=_fell_back(call, error),
            grpc_code=0 if error is None else code_of(error).value[0],
            error_reason="" if error is None else error.reason,
            error=b"" if error is None else self._detail(error, words=content),
            usage=None if call.usage is None else _figures(call.usage),
            complete=error is None,
            data_policy=policy,
            request=self._sent(request) if content and request is not None else b"",
            response=rpc.response if content else self._figures_of_answer(events),
            events=events if content else (),
            end_user=end_user,
            conversation=conversation,
            labels=labels,
        )

    def _request(self) -> chat_pb2.ChatRequest | None:
        """The conversation; None of calls that have none, or were never understood."""
        request = self.rpc.request
        if isinstance(request, chat_pb2.StreamRequest):
            return request.chat
        return request if isinstance(request, chat_pb2.ChatRequest) else None

    def _policy(self, request: chat_pb2.ChatRequest | None) -> DataPolicy:
        """The operator's policy, narrowed by the caller's wish; one that is not known keeps nothing."""
        if request is None or not self._rules.content:
            return DataPolicy.METADATA_ONLY
        if not request.data:
            return DataPolicy.FULL
        return _POLICIES.get(request.data, DataPolicy.METADATA_ONLY)

    def _sent(self, request: chat_pb2.ChatRequest) -> bytes:
        """The request as it came; without the end user's id, if that is hashed."""
        if not self._rules.end_users.hashes or not request.end_user_id:
            return self._data
        request.end_user_id = self._rules.end_users.kept(request.end_user_id)
        whole = self.rpc.request
        return whole.SerializeToString() if whole is not None else b""

    def _told(self) -> tuple[str, str, dict[str, str]]:
        """What is kept of a request whose content is not: end user, conversation, labels."""
        request = self.rpc.request
        if isinstance(request, chat_pb2.StreamRequest | model_pb2.CountTokensRequest):
            request = request.chat
        if not self.rpc.call.provider or not isinstance(request, chat_pb2.ChatRequest | embed_pb2.EmbedRequest):
            return "", "", {}
        conversation = request.conversation_id if isinstance(request, chat_pb2.ChatRequest) else ""
        return self._rules.end_users.kept(request.end_user_id), conversation, dict(request.labels)

    def _detail(self, error: ProxyError, *, words: bool) -> bytes:
        """The story of a failure; without content also without the provider's words, which may repeat the prompt."""
        detail = error_detail(error, self.rpc.call)
        if not words:
            detail.upstream_message = ""
        return detail.SerializeToString()

    def _figures_of_answer(self, events: Sequence[bytes]) -> bytes:
        """Why an answer ended, without its words."""
        if self.rpc.method.name == "Chat" and self.rpc.response:
            return without_words(chat_pb2.ChatResponse.FromString(self.rpc.response))
        answer = answer_of(events)
        return b"" if answer is None else without_words(answer)


def _microseconds(time: datetime) -> int:
    since = time - _EPOCH
    return (since.days * _DAY + since.seconds) * _MICROSECONDS + since.microseconds


def _figures(usage: Usage) -> Figures:
    cost = usage.cost
    return (
        count(usage.input_tokens),
        count(usage.output_tokens),
        count(usage.total_tokens),
        count(usage.cached_input_tokens),
        count(usage.cache_write_input_tokens),
        count(usage.reasoning_tokens),
        int(usage.source),
        None if cost is None else int64(cost.amount_nanos),
        "" if cost is None else cost.currency_code,
    )


def _attempts(call: Call, error: ProxyError | None) -> int:
    """How many there were; of a stream that is about to end, the last one still runs."""
    running = error is None and bool(call.provider) and not (call.attempts and call.attempts[-1].error is None)
    return len(call.attempts) + running


def _fell_back(call: Call, error: ProxyError | None) -> bool:
    if not call.attempts or (error is not None and call.first_output_at is None):
        return False
    first = call.attempts[0]
    return (first.provider, first.upstream_model) != (call.provider, call.upstream_model)


def _since(call: Call, moment: float) -> int:
    return int((moment - call.started_at) * _MICROSECONDS)
