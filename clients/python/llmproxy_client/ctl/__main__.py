"""Runs `llmproxyctl` as `python -m llmproxy_client.ctl`."""

import sys

from llmproxy_client.ctl.cli import main

sys.exit(main())
