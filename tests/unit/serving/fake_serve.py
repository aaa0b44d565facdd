"""`hftune serve` whose workers are fake_worker.py: everything but the model is real. Argv is that of `hftune`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hftune import cli
from hftune.serving import exchange, model, server, worker

worker.COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
# What is waited for in a test comes soon.
worker.STUCK_SECONDS = 0.3
worker.LAST_SECONDS = 0.3
model.PAUSE_SECONDS = 1.0
exchange.LINGER_SECONDS = 0.1
exchange.BODY_SECONDS = float(os.environ.get("FAKE_BODY_SECONDS", exchange.BODY_SECONDS))
server.HEAD_SECONDS = float(os.environ.get("FAKE_HEAD_SECONDS", server.HEAD_SECONDS))

if __name__ == "__main__":
    cli.main()
