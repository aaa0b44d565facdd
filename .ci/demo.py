"""`make demo`: train the first recipe, ask the model two sentences, say how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

SENTENCES = ("A warm, funny film that earns its ending.", "Two hours of noise and not one idea.")
HFTUNE = Path(sys.executable).parent / "hftune"


def main() -> int:
    """Run the commands that README opens with, each shown before it runs; return the first exit code that is not 0."""
    # Ctrl-C is for the command that runs: it saves its state, and how it ended is how the demo ends.
    signal.signal(signal.SIGINT, lambda *_: None)
    for command in (["run", "recipes/bert_cls.yaml"], ["predict", "latest", *SENTENCES]):
        shown = " ".join(f'"{word}"' if " " in word else word for word in command)
        print(f"\n$ hftune {shown}", flush=True)
        code = subprocess.call([HFTUNE, *command])
        if code != 0:
            return code
    print("\nGo on:\n  source .venv/bin/activate")
    verbs = subprocess.run([HFTUNE, "--help"], capture_output=True, text=True).stdout
    if "\n    tui " in verbs:
        print("  hftune tui                 the terminal app")
    print("  hftune chat latest         ask it line by line")
    print("  hftune recipes list        what else there is to train")
    return 0


if __name__ == "__main__":
    sys.exit(main())
