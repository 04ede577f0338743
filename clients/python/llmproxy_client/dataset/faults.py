"""What can be wrong with an export's files or messages."""


class DamagedExport(Exception):
    """A message or a file is not what the proxy said that it would be; the partial folder must not be used."""


class DifferentExport(Exception):
    """The partial folder was begun with another request, or the proxy goes on with another export."""


class FolderInUse(Exception):
    """The folder is there already, or another process exports to it."""
