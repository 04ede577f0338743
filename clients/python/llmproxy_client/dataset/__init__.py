"""Exports recorded calls to a folder of files, and takes up where it was cut off."""

from llmproxy_client.dataset.download import Download, Progress
from llmproxy_client.dataset.export import export
from llmproxy_client.dataset.faults import DamagedExport, DifferentExport, FolderInUse

__all__ = ["export", "Progress", "Download", "DamagedExport", "DifferentExport", "FolderInUse"]
