"""What the meter of energy costs by itself: processor time of a process that does nothing but be metered.

    python tests/benchmarks/meter_cost.py [--seconds 120]

The meter's start (looking at the machine) is told apart from its running. Goal: under 1% of a core.
"""

from __future__ import annotations

import argparse
import resource
import time

from hftune.energy.meter import Grid, Meter

READS_EVERY = 2.0  # seconds, as a run reads it at each point of its curve


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="default 120")
    seconds = parser.parse_args().seconds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with Meter(Grid()) as meter:
        if meter.read() is None:
            raise SystemExit(f"the meter does not work here: {meter.problem}")
        started, clock = time.process_time(), time.monotonic()
        reads = 0
        while time.monotonic() - clock < seconds:
            time.sleep(READS_EVERY)
            meter.read()
            reads += 1
        used, passed = time.process_time() - started, time.monotonic() - clock
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    print(f"start {started - began:.2f} s of processor time, {grown:.0f} MiB")
    print(f"running {100 * used / passed:.2f}% of a core over {passed:.0f} s, {reads} readings among it")


if __name__ == "__main__":
    main()
