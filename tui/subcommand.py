"""A command of hftune in a process of its own, in the background of the app."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence


def start(words: Sequence[str], stderr: int, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `hftune WORDS`: a session of its own, nothing to read, its output in a pipe; raises OSError.

    `stderr` is what subprocess takes for it. `-P`: a file in this folder never stands for a module.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hftune", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        env=environment,
    )
