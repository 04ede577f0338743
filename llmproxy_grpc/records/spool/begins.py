"""The calls of a worker that its spool knows to have begun: if such a record is dropped, its end is told alone."""

from collections.abc import Sequence

from llmproxy_grpc.records.spool.entries import Began, Dropped, Ended, Said


class Begins:
    """Ids of such calls; used by the event loop and by the writer's thread, each time by one step of a set."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def offered(self, said: Sequence[Said]) -> None:
        """These will be written, unless they are dropped."""
        self._ids.update([each.id for each in said if isinstance(each, Began)])

    def written(self, said: Sequence[Said]) -> None:
        """These are written."""
        self._ids.difference_update([each.id for each in said if isinstance(each, Ended)])

    def dropped(self, said: Sequence[Said]) -> list[Dropped]:
        """These are not; gives what is to be written in their place: a few bytes for each call that has begun."""
        instead = []
        for each in said:
            if isinstance(each, Dropped):
                instead.append(each)
            elif isinstance(each, Ended) and each.id in self._ids:
                instead.append(Dropped(each.id))
            if isinstance(each, Began | Ended):
                self._ids.discard(each.id)
        return instead
