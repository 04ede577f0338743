"""The methods that live on records: RecordFeedback and Export."""

from collections.abc import Callable, Mapping

from llmproxy_grpc._gen.v1 import export_pb2
from llmproxy_grpc.errors import FeatureDisabled
from llmproxy_grpc.records.keeping import Keeping
from llmproxy_grpc.server.export import ExportServicer, Vault
from llmproxy_grpc.server.feedback import FeedbackServicer
from llmproxy_grpc.server.rpc import Rpc, Servicer


def recorded_servicers(
    keeping: Keeping | None, *, write_timeout: Callable[[], float], exported: Callable[[int], None]
) -> Mapping[str, Servicer]:
    """The servicers by method.

    Args:
        keeping: Keeps the records; None if this deployment keeps none.
        write_timeout: Longest wait, in seconds, for a caller that does not read.
        exported: Told how many bytes an export sent.
    """
    if keeping is None:
        return {"RecordFeedback": FeedbackServicer(None).record_feedback, "Export": _nothing_to_export}
    places = keeping.places
    vault = Vault(keeping.open_store, places.plans, places.export_key, keeping.end_users.forms)
    return {
        "RecordFeedback": FeedbackServicer(keeping.recorder, words=keeping.terms.content).record_feedback,
        "Export": ExportServicer(vault, write_timeout=write_timeout, sent=exported).export,
    }


async def _nothing_to_export(_request: export_pb2.ExportRequest, _rpc: Rpc) -> None:
    raise FeatureDisabled("This deployment keeps no records (records.enabled is false).")
