"""`python -m hftune_tui.tether MODULE [WORDS]`: a module run as a command that ends with the app, however that ends.

The app holds the other end of this process's standard input and never closes it before; so when that end is gone, the
app is. Whatever this process does then, and whichever lock it waits for, it has nobody left to do it for.
"""

from __future__ import annotations

import os
import runpy
import select
import shutil
import sys
import threading

FOLDER_VARIABLE = "TMPDIR"  # what this process writes by the way; it goes with it


def main() -> None:
    """Run the module that the first word names, with the words after it."""
    threading.Thread(target=_watch, name="tether", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _watch() -> None:
    standard_input = select.poll()
    standard_input.register(0, 0)  # nothing is read: only the end of the other side is told
    while not any(event & (select.POLLHUP | select.POLLERR) for _, event in standard_input.poll()):
        pass
    if folder := os.environ.get(FOLDER_VARIABLE):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
