"""Several server processes that serve as one: a supervisor, and what it shares with its workers."""
