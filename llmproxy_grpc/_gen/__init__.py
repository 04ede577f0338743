"""Generated from protos/llmproxy by `make generate`; never edited."""
