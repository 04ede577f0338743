import resource

import pytest

from llmproxy_grpc.telemetry.memory import PAGE, Memory

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """`machine("path", text)` writes a file of a machine; there are 10 GiB, of which the process has 1."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text))

    write("proc/meminfo", f"MemTotal: {10 * GIB // 1024} kB\nMemFree: 1 kB\n")
    write("proc/self/statm", f"{5 * GIB // PAGE} {GIB // PAGE} 1 1 0 1 0\n")
    write("proc/self/cgroup", "0::/\n")
    write.root = tmp_path
    return write


def test_without_a_limit_the_machine_is_one_shared_by_its_processes(machine):
    assert Memory(root=machine.root).level() == pytest.approx(0.1)
    assert Memory(4, machine.root).level() == pytest.approx(0.4)


def test_a_containers_limit_counts_for_all_that_is_in_it_less_what_can_be_dropped(machine):
    machine("sys/fs/cgroup/memory.max", 2 * GIB)
    machine("sys/fs/cgroup/memory.current", int(1.9 * GIB))
    machine("sys/fs/cgroup/memory.stat", f"anon 5\ninactive_file {GIB // 10}\nactive_file 7\n")
    assert Memory(root=machine.root).level() == pytest.approx(0.9)


def test_the_tightest_of_nested_limits_counts(machine):
    machine("proc/self/cgroup", "12:memory:/old\n0::/a/b\n")
    machine("sys/fs/cgroup/a/memory.max", 4 * GIB)
    machine("sys/fs/cgroup/a/memory.current", 3 * GIB)
    machine("sys/fs/cgroup/a/memory.stat", "")
    machine("sys/fs/cgroup/a/b/memory.max", "max\n")
    machine("sys/fs/cgroup/a/b/memory.current", GIB)
    assert Memory(root=machine.root).level() == pytest.approx(0.75)


def test_far_from_full_one_short_file_is_read(machine):
    machine("sys/fs/cgroup/memory.max", 10 * GIB)
    machine("sys/fs/cgroup/memory.current", 4 * GIB)
    assert Memory(root=machine.root).level() == pytest.approx(0.4)


def test_a_limit_of_the_address_space_counts(machine, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (8 * GIB, 8 * GIB))
    assert Memory(root=machine.root).level() == pytest.approx(5 / 8)


def test_where_nothing_can_be_read_nothing_is_full(tmp_path):
    assert Memory(root=tmp_path).level() == 0.0


def test_this_very_process_has_a_level():
    assert 0 < Memory().level() < 1
