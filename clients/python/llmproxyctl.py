"""The command `llmproxyctl`: keeps gRPC's own log off the terminal, then runs `llmproxy_client.ctl`."""

import os
import sys


def main() -> int:
    """Runs the command; returns its exit status."""
    # Read once, when gRPC is loaded, which the package does: hence a module outside of it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from llmproxy_client.ctl.cli import main as command  # noqa: PLC0415 - not before that

    return command()


if __name__ == "__main__":
    sys.exit(main())
