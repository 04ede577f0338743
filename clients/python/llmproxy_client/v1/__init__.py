"""Generated from protos/llmproxy/v1 by `make generate`; never edited."""
