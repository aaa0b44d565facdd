"""Hold the branch coverage of the packages that must not lose anything: runs, recipe, training."""

from __future__ import annotations

import subprocess
import sys

REQUIRED = 90  # percent, lines and branches together
PACKAGES = ("runs", "recipe", "training")


def main() -> int:
    """Report each package; return 1 when one is below the limit, with the lines that no test runs."""
    short = 0
    for package in PACKAGES:
        command = [sys.executable, "-m", "coverage", "report", f"--include=hftune/{package}/*"]
        report = subprocess.run([*command, "--format=total"], capture_output=True, text=True)
        total = float(report.stdout.strip() or 0)
        print(f"coverage of hftune/{package}: {total:.0f}% (at least {REQUIRED}%)")
        if total < REQUIRED:
            short = 1
            subprocess.run([*command, "--show-missing", "--skip-covered"])
    return short


if __name__ == "__main__":
    sys.exit(main())
