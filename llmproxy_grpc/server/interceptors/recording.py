"""Records every call: its begin, and exactly once how it ended, before an answer that is complete leaves."""

from typing import Final

from llmproxy_grpc.errors import ProxyError, ProxyOverloaded
from llmproxy_grpc.exceptions import verdict
from llmproxy_grpc.records.keeping import Keeping
from llmproxy_grpc.records.recorder import Recorder
from llmproxy_grpc.records.spool.entries import Began, Ended
from llmproxy_grpc.server.rpc import Interceptor, Proceed, Rpc
from llmproxy_grpc.server.taking import Rules, Taking
from llmproxy_grpc.server.trailers import add_trailer

RECORDED: Final = frozenset({"Chat", "Stream", "Embed", "CountTokens"})
RETRY_AFTER: Final = 1.0
STATE_KEY: Final = "llmproxy-record-state"
UNCONFIRMED: Final = "unconfirmed"


def recording(keeping: Keeping | None) -> Interceptor:
    """The interceptor that records; without anything to record for, one that stands aside."""
    if keeping is None:
        return _aside
    return Recording(keeping.recorder, Rules(keeping.terms.content, keeping.end_users))


class Recording:
    """The interceptor that records.

    Args:
        recorder: Takes what is recorded.
        rules: What of it is kept.
    """

    def __init__(self, recorder: Recorder, rules: Rules) -> None:
        self._recorder = recorder
        self._rules = rules

    async def __call__(self, rpc: Rpc, proceed: Proceed) -> None:
        """Records one call."""
        if rpc.method.name not in RECORDED:
            await proceed(rpc)
            return
        recorder, call = self._recorder, rpc.call
        if not recorder.promises:
            raise ProxyOverloaded(
                "Records cannot be kept durably now, as this deployment promises.", retry_after=RETRY_AFTER
            )
        taking = Taking(rpc, self._rules)
        if rpc.method.streaming:
            rpc.tape = lambda: taking.tape(self._complete)
        recorder.began(Began(call.id, call.caller.tenant, call.caller.key_id, call.method, taking.started_at))
        try:
            await proceed(rpc)
            if not taking.done:
                await self._complete(taking)
        except BaseException as raised:
            if not taking.done:
                recorder.ended(self._ended(taking, verdict(raised)))
            raise

    async def _complete(self, taking: Taking) -> None:
        """Records an answer that is about to leave; it waits for that, though not for long."""
        written = await self._recorder.complete(self._ended(taking, None))
        if not written and self._recorder.confirms:
            add_trailer(taking.rpc, STATE_KEY, UNCONFIRMED)

    def _ended(self, taking: Taking, error: ProxyError | None) -> Ended:
        if taking.is_cut:
            self._recorder.stripped()
        return taking.ended(error)


async def _aside(rpc: Rpc, proceed: Proceed) -> None:
    await proceed(rpc)
