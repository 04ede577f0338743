"""`python -m llmproxy_grpc` is `llmproxy`."""

from llmproxy_grpc.cli import main

if __name__ == "__main__":
    main()
