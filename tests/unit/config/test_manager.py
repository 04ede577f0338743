import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs

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
