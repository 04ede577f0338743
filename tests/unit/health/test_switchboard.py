from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.health.switchboard import Switch, Switchboard, Switching

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENABLED, DRAINING, DISABLED = Switch


def board(**states):
    switchboard = Switchboard()
    switchboard.configure({"a": ENABLED, "b": ENABLED, **states})
    return switchboard


def switching(provider="a", state=DISABLED, at=0.0):
    return Switching(provider, state, "because", NOON + timedelta(seconds=at))


def test_a_provider_that_nobody_mentions_gets_calls():
    assert Switchboard().admits("a")
    assert Switchboard().setting("a").state is ENABLED


def test_the_configuration_and_the_operator_decide_the_operator_last():
    switchboard = board(a=DISABLED)
    assert not switchboard.admits("a")
    switchboard.switch(switching(state=ENABLED))
    assert switchboard.admits("a")
    switchboard.switch(switching(state=DRAINING, at=1))
    assert not switchboard.admits("a")
    setting = switchboard.setting("a")
    assert (setting.state, setting.configured, setting.switching.note) == (DRAINING, DISABLED, "because")
    assert switchboard.admits("b")


def test_what_is_switched_survives_a_reload_that_says_nothing_new():
    switchboard = board()
    switchboard.switch(switching())
    switchboard.configure({"a": ENABLED, "b": DISABLED})
    assert not switchboard.admits("a")
    assert not switchboard.admits("b")


def test_a_reload_that_changes_the_key_counts():
    switchboard = board()
    switchboard.switch(switching())
    switchboard.configure({"a": DRAINING, "b": ENABLED})
    switchboard.configure({"a": ENABLED, "b": ENABLED})
    assert switchboard.admits("a")
    assert switchboard.setting("a").switching is None


def test_a_provider_that_comes_back_begins_anew():
    switchboard = board()
    switchboard.switch(switching())
    switchboard.configure({"b": ENABLED})
    switchboard.configure({"a": ENABLED, "b": ENABLED})
    assert switchboard.admits("a")


def test_listeners_hear_of_each_switching_that_counts():
    switchboard, heard = board(), []
    switchboard.listen(heard.append)
    switchboard.switch(switching())
    switchboard.switch(switching(provider="nobody"))
    assert [each.provider for each in heard] == ["a"]
    assert [switchboard.setting(name).switching for name in ("a", "nobody")] == [*heard, None]


orders = st.lists(
    st.builds(switching, st.sampled_from("ab"), st.sampled_from(Switch), st.integers(0, 5)),
    max_size=8,
    unique_by=lambda each: (each.provider, each.time),
)


@given(heard=orders, data=st.data())
def test_processes_that_hear_of_the_same_in_any_order_agree(heard, data):
    one, other = board(), board()
    for each in heard:
        one.switch(each)
    for each in data.draw(st.permutations(heard)):
        other.switch(each)
    for name in "ab":
        assert one.setting(name) == other.setting(name)
        assert one.admits(name) is other.admits(name) is (one.setting(name).state is ENABLED)
