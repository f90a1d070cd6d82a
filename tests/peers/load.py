"""How much of the processors other processes take while something is measured.

Threads that wait for each other suffer most from company, PyTorch's more than Vitral's: a ratio
from a busy machine says little."""

import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Load:
    """From its start to `others`. Only Linux tells; elsewhere it is unknown (None)."""

    def __init__(self, process=None):
        # The processor time of what is measured: a process that lives on, or children that end.
        self.process = process
        self.start = self.read()

    def others(self):
        """The share of all processors that others took, 0 to 1."""
        if self.start is None:
            return None
        busy, own, now = (end - start for end, start in zip(self.read(), self.start))
        return max(0.0, busy - own) / (now * os.cpu_count())

    def read(self):
        try:
            fields = [
                int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
            ]
            own = self.own_seconds()
        except (OSError, ValueError):
            return None
        # All but idle and waiting for disks; what the host of a virtual machine takes is included.
        busy = sum(fields) - fields[3] - fields[4]
        return busy / TICKS, own, time.monotonic()

    def own_seconds(self):
        if self.process is None:
            times = os.times()
            return times.children_user + times.children_system
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
