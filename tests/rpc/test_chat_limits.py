"""How long Chat waits for one target before it asks the next."""

from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import never
from tests.rpc.test_chat import TWO, two


async def test_a_stalled_target_does_not_use_up_the_time_of_the_next(serve):
    providers = two()
    providers["a"].chats.append(never)
    async with serve({**TWO, "timeouts": {"first_token": 0.1}}, providers=providers) as server:
        answer = await server.stub.Chat(chat_request(), timeout=2.0)
    assert answer.route.provider == "b"
    assert [attempt.reason for attempt in answer.route.failed_attempts] == [16]
    assert providers["a"].cancelled == 1


async def test_it_gets_at_least_what_a_stream_would(serve):
    providers = two()
    providers["a"].chats.append(never)
    async with serve({**TWO, "timeouts": {"first_token": 60}}, providers=providers) as server:
        error = await failure(server.stub.Chat(chat_request(), timeout=1.5))
    assert error.reason == "DEADLINE_EXCEEDED"
    assert error.message.endswith(" s that the caller's deadline left.")
    assert providers["b"].requests == []


async def test_the_last_target_may_take_all_that_is_left(serve):
    async with serve({"timeouts": {"first_token": 0.05}}) as server:
        server.scripted.chats.append(never)
        error = await failure(server.stub.Chat(chat_request(), timeout=1.5))
    assert error.reason == "DEADLINE_EXCEEDED"
