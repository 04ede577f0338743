"""The spool: what each worker appends of its calls to files of its own, before anything reaches the store."""
