"""`llmproxyctl`, the command line of the client."""
