import asyncio
import contextlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bench.simulation import virtual_time
from llmproxy_grpc.config import manager
from llmproxy_grpc.config.faults import ConfigError, ConfigFault
from llmproxy_grpc.config.loader import Loaded, load
from llmproxy_grpc.config.manager import ConfigManager, Reload
from llmproxy_grpc.config.schema import Config

OLD = Config(default_model="old")
NEW = Config(default_model="new")


class Sources:
    """What the next load gives: a configuration, or an error."""

    def __init__(self):
        self.next = OLD
        self.reports = []
        self.manager = ConfigManager(Loaded(OLD), self.load, lambda *report: self.reports.append(report))

    def load(self):
        if isinstance(self.next, Exception):
            raise self.next
        return Loaded(self.next)


@pytest.fixture
async def sources():
    return Sources()


async def test_a_new_configuration_is_told_and_then_in_force(sources):
    told = []

    async def subscriber(old, new):
        told.append((old, new, sources.manager.config))

    sources.manager.subscribe(subscriber)
    sources.next = NEW
    assert await sources.manager.reload() is Reload.APPLIED
    assert told == [(OLD, NEW, OLD)]
    assert sources.manager.config is NEW
    assert sources.reports == [(Reload.APPLIED, ())]


async def test_an_equal_configuration_is_told_to_nobody(sources):
    async def subscriber(old, new):
        pytest.fail("told")

    sources.manager.subscribe(subscriber)
    sources.next = Config(default_model="old")
    assert await sources.manager.reload() is Reload.UNCHANGED


async def test_a_bad_configuration_keeps_the_old_and_reports_its_faults(sources):
    fault = ConfigFault("f", 1, "a", None, "is wrong")
    sources.next = ConfigError([fault])
    assert await sources.manager.reload() is Reload.REJECTED
    assert sources.manager.config is OLD
    assert sources.reports == [(Reload.REJECTED, (fault,))]
    sources.next = NEW
    assert await sources.manager.reload() is Reload.APPLIED


@pytest.mark.parametrize("error", [ValueError("no such kind"), OSError("no")])
async def test_a_subscriber_that_cannot_build_keeps_the_old_everywhere(sources, error):
    told = []

    async def first(old, new):
        told.append((old, new))

    async def second(old, new):
        raise error

    sources.manager.subscribe(first)
    sources.manager.subscribe(second)
    sources.next = NEW
    assert await sources.manager.reload() is Reload.REJECTED
    assert told == [(OLD, NEW), (NEW, OLD)]
    assert sources.manager.config is OLD
    assert sources.reports[0][1][0].message == str(error)


async def test_a_bug_of_a_subscriber_is_not_hidden_and_keeps_the_old(sources):
    async def subscriber(old, new):
        raise RuntimeError("text that may hold a secret")

    sources.manager.subscribe(subscriber)
    sources.next = NEW
    assert await sources.manager.reload() is Reload.REJECTED
    assert sources.manager.config is OLD
    assert "RuntimeError" in str(sources.reports[-1])


async def test_reloads_happen_one_after_the_other(sources):
    running = 0

    async def subscriber(old, new):
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        assert running == 1
        running -= 1

    sources.manager.subscribe(subscriber)
    sources.next = NEW
    results = await asyncio.gather(sources.manager.reload(), sources.manager.reload())
    assert results == [Reload.APPLIED, Reload.UNCHANGED]


async def test_without_a_file_there_is_nothing_to_watch(sources):
    await asyncio.wait_for(sources.manager.watch(), 5)


class Folder:
    """A file that a manager watches."""

    def __init__(self, path):
        self.path = path
        self.results = asyncio.Queue()
        self.manager = ConfigManager(self.load(), self.load, lambda result, _: self.results.put_nowait(result))

    def load(self):
        return load(self.path, [], {}, self.path.parent)

    @contextlib.asynccontextmanager
    async def watched(self, poll=0.3):
        task = asyncio.create_task(self.manager.watch(poll=poll))
        try:
            yield
        finally:
            task.cancel()
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert asyncio.get_running_loop().time() - began < 2

    async def next(self):
        return await asyncio.wait_for(self.results.get(), 10)


def replace(path, text):
    """As editors do: a new file takes the place of the old."""
    path.with_suffix(".tmp").write_text(text)
    path.with_suffix(".tmp").replace(path)


async def test_a_change_of_the_file_reloads_and_a_half_written_one_does_not_harm(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("timeouts: {idle: 1s}")
    folder = Folder(path)
    async with folder.watched(poll=5):
        path.write_text("timeouts: {idle: [")
        assert await folder.next() is Reload.REJECTED
        assert folder.manager.config.timeouts.idle == 1.0
        replace(path, "timeouts: {idle: 2s}")
        assert await folder.next() is Reload.APPLIED
        assert folder.manager.config.timeouts.idle == 2.0


@pytest.mark.parametrize(
    "failure", [RuntimeError("OS file watch limit reached."), FileNotFoundError("No such folder.")]
)
async def test_where_the_system_tells_of_no_change_the_file_is_looked_at(tmp_path, monkeypatch, failure):
    async def refused(*_folders, **_options):
        raise failure
        yield

    monkeypatch.setattr(manager, "awatch", refused)
    path = tmp_path / "c.yaml"
    path.write_text("timeouts: {idle: 1s}")
    folder = Folder(path)
    with capture_logs() as logs:
        async with folder.watched(poll=0.05):
            for seconds in (2, 3):
                replace(path, f"timeouts: {{idle: {seconds}s}}")
                assert await folder.next() is Reload.APPLIED
                assert folder.manager.config.timeouts.idle == seconds
    assert [(line["event"], line["why"]) for line in logs] == [("config_polled", str(failure))]


async def test_a_swapped_link_reloads_as_kubernetes_mounts_do(tmp_path):
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "c.yaml").write_text(f"timeouts: {{idle: {version}s}}")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "c.yaml").symlink_to("..data/c.yaml")
    folder = Folder(tmp_path / "c.yaml")
    async with folder.watched():
        (tmp_path / "..tmp").symlink_to("..2")
        (tmp_path / "..tmp").replace(tmp_path / "..data")
        assert await folder.next() is Reload.APPLIED
        assert folder.manager.config.timeouts.idle == 2.0


async def test_a_secrets_file_is_watched_too_and_so_is_one_that_is_new(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("one")
    path = tmp_path / "c.yaml"
    path.write_text("{}")
    folder = Folder(path)

    def key():
        return folder.manager.config.providers[0].api_key.get_secret_value()

    async with folder.watched():
        replace(path, "providers: [{name: p, kind: openai, api_key: {file: secrets/key}}]")
        assert await folder.next() is Reload.APPLIED
        assert key() == "one"
        replace(tmp_path / "secrets" / "key", "two")
        assert await folder.next() is Reload.APPLIED
        assert key() == "two"


async def test_a_file_that_vanishes_keeps_the_configuration(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("timeouts: {idle: 1s}")
    folder = Folder(path)
    async with folder.watched():
        path.unlink()
        assert await folder.next() is Reload.REJECTED
        assert folder.manager.config.timeouts.idle == 1.0
        path.write_text("timeouts: {idle: 3s}")
        while await folder.next() is not Reload.APPLIED:
            pass
        assert folder.manager.config.timeouts.idle == 3.0


NAMES_A_KEY = "providers: [{name: p, kind: openai, api_key: {file: secrets/key}}]"


async def test_a_secret_that_comes_after_the_file_that_names_it_is_read(tmp_path):
    """It is in no folder that is watched, since the file that names it is not in force."""
    path = tmp_path / "c.yaml"
    path.write_text("{}")
    folder = Folder(path)
    async with folder.watched():
        replace(path, NAMES_A_KEY)
        assert await folder.next() is Reload.REJECTED
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "key").write_text("one")
        assert await folder.next() is Reload.APPLIED
        assert folder.manager.config.providers[0].api_key.get_secret_value() == "one"


async def test_a_key_that_cannot_be_read_for_a_moment_is_read_again_without_a_change_of_any_file(tmp_path):
    closed = asyncio.Event()
    path = tmp_path / "c.yaml"
    path.write_text("timeouts: {idle: 1s}")

    class Locked(Folder):
        def load(self):
            if closed.is_set():
                raise ConfigError([ConfigFault("c.yaml", 1, "a", None, "cannot be read: Permission denied")])
            return super().load()

    folder = Locked(path)
    async with folder.watched(poll=0.1):
        closed.set()
        replace(path, "timeouts: {idle: 2s}")
        assert await folder.next() is Reload.REJECTED
        await asyncio.sleep(1.5)
        assert folder.results.empty()  # it was tried, and said nothing new
        closed.clear()
        assert await folder.next() is Reload.APPLIED
        assert folder.manager.config.timeouts.idle == 2.0


async def nobody(_old, _new):
    pass


def watching(sources, loads, seconds, monkeypatch, subscriber=nobody):
    """Watches a file that never changes for so long, in time that does not pass; gives when the sources were read."""

    async def main():
        loop = asyncio.get_running_loop()
        read = []

        async def at_once(work):
            read.append(loop.time())
            sources.next = loads(loop.time())
            return work()

        async def ticks(_files, _stop, poll):
            while True:
                await asyncio.sleep(poll)
                yield

        monkeypatch.setattr(asyncio, "to_thread", at_once)
        monkeypatch.setattr(manager, "_changes", ticks)
        sources.manager = ConfigManager(
            Loaded(OLD, file=Path("/no/file")), sources.load, lambda *report: sources.reports.append(report)
        )
        sources.manager.subscribe(subscriber)
        await sources.manager.reload()
        follower = asyncio.create_task(sources.manager.watch())
        await asyncio.sleep(seconds)
        follower.cancel()
        return read

    return virtual_time.run(main())


FAULTS = {name: ConfigFault("f", 1, name, None, "is wrong") for name in "ab"}


def test_what_cannot_be_read_is_read_ever_more_rarely_and_reported_once(monkeypatch):
    sources = Sources()
    read = watching(sources, lambda _now: ConfigError([FAULTS["a"]]), 400, monkeypatch)
    assert read == [0, 5, 10, 15, 25, 45, 80, 140, 200, 260, 320, 380]
    assert sources.reports == [(Reload.REJECTED, (FAULTS["a"],))]


def test_what_is_wrong_in_another_way_is_reported_and_what_can_be_read_ends_it(monkeypatch):
    sources = Sources()

    def loads(now):
        return ConfigError([FAULTS["a" if now < 8 else "b"]]) if now < 40 else NEW

    read = watching(sources, loads, 400, monkeypatch)
    assert read == [0, 5, 10, 15, 25, 45]
    rejected = [(Reload.REJECTED, (FAULTS[name],)) for name in "ab"]
    assert sources.reports == [*rejected, (Reload.APPLIED, ())]


def test_what_was_read_and_cannot_be_used_is_not_tried_again_by_itself(monkeypatch):
    """Workers would be started for it, again and again."""
    sources = Sources()
    told = []

    async def subscriber(_old, new):
        told.append(new)
        raise OSError("The port is taken.")

    assert watching(sources, lambda _now: NEW, 100, monkeypatch, subscriber) == [0]
    assert told == [NEW]
