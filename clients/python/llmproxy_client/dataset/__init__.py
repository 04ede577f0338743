"""Exports recorded calls to a folder of files, and takes up where it was cut off."""

from llmproxy_client.dataset.download import Download, Progress, begun_at
from llmproxy_client.dataset.export import export
from llmproxy_client.dataset.faults import DamagedExport, DifferentExport, FolderInUse

__all__ = ["export", "begun_at", "Progress", "Download", "DamagedExport", "DifferentExport", "FolderInUse"]
