"""The embedded model: a small language model that the server runs itself, in a child process."""
