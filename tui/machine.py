"""How busy the machine is."""

from __future__ import annotations

GIGA = 2**30


class Machine:
    """Reads the load since the last time it was asked."""

    def text(self) -> str:
        """Return `CPU 3%  RAM 1.2/7.8G`; RAM is what is taken, in GiB."""
        import psutil

        memory = psutil.virtual_memory()
        taken = (memory.total - memory.available) / GIGA
        return f"CPU {psutil.cpu_percent():.0f}%  RAM {taken:.1f}/{memory.total / GIGA:.1f}G"
