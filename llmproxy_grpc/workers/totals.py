"""What all workers have counted together, those that are dead included."""

from collections.abc import Callable, Iterable
from itertools import chain

from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.telemetry.families import Exposition, Families, Family, Found
from llmproxy_grpc.workers.process import WorkerProcess


class Totals:
    """The metrics of the whole: a worker's end takes nothing from any counter or histogram.

    Args:
        workers: Those that live.
    """

    def __init__(self, workers: Callable[[], Iterable[WorkerProcess]]) -> None:
        self._workers = workers
        self._past: dict[str, tuple[Family, dict[tuple[str, ...], list[float]]]] = {}
        families = Families(Cells())
        self._own = families
        self._restarts = families.counter("llmproxy_worker_restarts", "Workers started in place of dead ones.")()
        self._reloads = families.counter("llmproxy_config_reloads", "Reloads of the configuration.", "result")
        self._serving = families.gauge("llmproxy_workers", "Workers that take calls.")()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return Exposition(self.found()).render()

    def found(self) -> Found:
        """Every series of every worker, of the dead, and of the supervisor."""
        living = list(self._workers())
        self._serving.set(sum(worker.ready for worker in living))
        return chain(self._own.found(), self._dead(), *(worker.found() for worker in living))

    def bury(self, worker: WorkerProcess) -> None:
        """Takes over what a worker has counted that is dead; what it merely showed goes with it."""
        for family, values, numbers in worker.found():
            if family.kind == "gauge":
                continue
            _, series = self._past.setdefault(family.name, (family, {}))
            before = series.get(values, [0.0] * family.length)
            series[values] = [one + other for one, other in zip(before, numbers, strict=True)]

    def restarted(self) -> None:
        """Counts a restart."""
        self._restarts.inc()

    def reloaded(self, result: str) -> None:
        """Counts a reload: applied, unchanged or rejected."""
        self._reloads(result).inc()

    def _dead(self) -> Found:
        for family, series in self._past.values():
            for values, numbers in series.items():
                yield family, values, numbers
