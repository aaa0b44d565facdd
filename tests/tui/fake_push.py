"""Stands in for `hftune push`: does what the file $FAKE_PUSH says, a step at a time.

It notes itself (its words, what it was told) in the file beside it, whose name ends in `.called`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    file = Path(os.environ["FAKE_PUSH"])
    called: dict[str, Any] = {"words": sys.argv[1:], "pid": os.getpid(), "folder": os.environ["TMPDIR"]}
    for kind, value in json.loads(file.read_text()):
        note(file, called)
        match kind:
            case "say":
                print(json.dumps(value), flush=True)
            case "raw":
                sys.stdout.buffer.write(value.encode())
                sys.stdout.buffer.flush()
            case "words":
                print(value, file=sys.stderr, flush=True)
            case "write":
                Path(os.environ["TMPDIR"], value).write_text("weights")
            case "ask":
                called["told"] = sys.stdin.readline()
                note(file, called)
                if called["told"] != "yes\n":
                    return
            case "wait":  # until a test opens it
                Path(value).read_text()
            case "stay":
                signal.pause()
            case "kill":
                os.kill(os.getpid(), value)
            case "exit":
                sys.exit(value)


def note(file: Path, called: dict[str, Any]) -> None:
    beside = file.with_suffix(".called")
    beside.with_suffix(".new").write_text(json.dumps(called))
    beside.with_suffix(".new").replace(beside)


if __name__ == "__main__":
    main()
