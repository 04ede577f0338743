"""How much of the memory that this process may use is used: by its cgroup, its rlimit, and the machine."""

import resource
from pathlib import Path
from typing import Final

PAGE: Final = resource.getpagesize()


class Memory:
    """Looks at what would end the process when it is full.

    Within a cgroup that has a limit (a container), everything in it counts: other workers, and the embedded model. What
    the kernel can drop at once does not. Where nothing limits it, the process has its share of the machine.

    Args:
        processes: How many processes like this one share the machine.
        root: Where `/proc` and `/sys` are.
    """

    def __init__(self, processes: int = 1, root: Path = Path("/")) -> None:
        self._processes = processes
        self._statm = root / "proc/self/statm"
        self._cgroups = _limited_cgroups(root)
        self._machine = _machine_total(root)
        self._address_space = resource.getrlimit(resource.RLIMIT_AS)[0]

    def level(self) -> float:
        """The used share of the tightest limit, from 0 to about 1; 0 if nothing is known."""
        size, resident = _sizes(self._statm)
        levels = [_level_of(folder, limit) for folder, limit in self._cgroups]
        if self._machine:
            levels.append(resident * self._processes / self._machine)
        if self._address_space != resource.RLIM_INFINITY:
            levels.append(size / self._address_space)
        return max(levels, default=0.0)


def _limited_cgroups(root: Path) -> list[tuple[Path, int]]:
    """The process's cgroup and those around it that have a limit, with it in bytes."""
    mounted = root / "sys/fs/cgroup"
    entries = _read(root / "proc/self/cgroup").splitlines()
    # Version 2 has one line, `0::/path`; within a container's own namespace the path is `/`.
    path = next((entry.removeprefix("0::") for entry in entries if entry.startswith("0::")), None)
    if path is None:
        return []
    own = mounted / path.lstrip("/")
    folders = [own, *(folder for folder in own.parents if folder.is_relative_to(mounted))]
    limits = [(folder, _number(_read(folder / "memory.max"))) for folder in folders]
    return [(folder, limit) for folder, limit in limits if limit]


def _level_of(folder: Path, limit: int) -> float:
    used = _number(_read(folder / "memory.current"))
    if used * 2 < limit:
        return used / limit  # far from full: the longer file need not be read
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return max(0, used - _number(value)) / limit
    return used / limit


def _sizes(statm: Path) -> tuple[int, int]:
    """The process's address space and what of it is in memory, in bytes."""
    fields = _read(statm).split()
    return (_number(fields[0]) * PAGE, _number(fields[1]) * PAGE) if len(fields) > 1 else (0, 0)


def _machine_total(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return _number(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str) -> int:
    """A number; 0 for `max`, which is no limit, and for what is none."""
    text = text.strip()
    return int(text) if text.isdecimal() else 0
