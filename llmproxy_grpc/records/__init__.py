"""Records: what is kept of calls, on the way through the spool into the store."""
