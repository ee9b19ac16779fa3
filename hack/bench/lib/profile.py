"""What a request costs in detail: system calls, allocations, and where the CPU time goes.

In: a target and a load. Out: text. It uses perf; what this machine does not let it see is said to be missing.
"""

import subprocess
import time
from pathlib import Path

from . import place
from .load import Load
from .measure import Target

# What proxies use; perf takes no pattern where a thread may come and go.
SYSTEM_CALLS = (
    "read write readv writev recvfrom sendto recvmsg sendmsg epoll_wait epoll_pwait epoll_pwait2 epoll_ctl accept4 "
    "connect socket close shutdown futex setsockopt getsockopt getpeername getsockname splice sendfile64 "
    "timerfd_settime clock_nanosleep madvise mmap munmap sched_yield io_uring_enter"
).split()
# Of mimalloc, which weft-proxy links; the linker leaves these out of line.
ALLOCATIONS = ("mi_malloc", "mi_zalloc", "mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc", "mi_realloc_aligned")
FREQUENCY = 999  # a prime beside 1000, so as not to beat with timers


class Profiler:
    """Runs a load on a target while perf watches the target."""

    def __init__(self, programs: dict[str, str], target: Target, load: Load, seconds: int):
        self.programs, self.target, self.load, self.seconds = programs, target, load, seconds
        self.pids = ",".join(map(str, target.process.family()))

    def watched(self, perf: list[str]) -> tuple[int, str]:
        """How many requests were answered meanwhile, and what perf said."""
        watcher = subprocess.Popen(["perf", *perf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            time.sleep(0.5)  # until it watches
            result = self.load.run(self.programs, self.target.port, self.seconds)
        finally:
            if watcher.poll() is None:
                watcher.send_signal(2)  # what ends perf
            said, _ = watcher.communicate(timeout=60)
        return result["ok"], said

    def counted(self, events: list[str]) -> dict[str, float]:
        """How often each event happens per request."""
        flags = [flag for event in events for flag in ("-e", event)]
        requests, said = self.watched(["stat", "-x", ";", "-p", self.pids, *flags])
        counts = read_counts(said)
        return {event: count / max(requests, 1) for event, count in counts.items() if count > 0}

    def system_calls(self) -> str:
        """System calls per request."""
        known = [f"syscalls:sys_enter_{name}" for name in SYSTEM_CALLS]
        known = [event for event in known if Path("/sys/kernel/tracing/events", *event.split(":")).exists()]
        if not known:
            return "System calls: this kernel does not show them.\n"
        each = self.counted(["raw_syscalls:sys_enter", *known])
        each = {name.replace("syscalls:sys_enter_", ""): count for name, count in each.items()}
        total = each.pop("raw_syscalls:sys_enter", 0.0)
        lines = [f"{name:20} {count:8.3f}" for name, count in sorted(each.items(), key=lambda item: -item[1])]
        return f"System calls per request: {total:.2f}\n" + "\n".join(lines) + "\n"

    def allocations(self) -> str:
        """Allocations per request, of a program that carries mimalloc and its symbols."""
        program = str(Path(f"/proc/{self.target.process.child.pid}/exe").resolve())
        subprocess.run(["perf", "probe", "-q", "-d", "bench:*"], capture_output=True, check=False)
        for name in ALLOCATIONS:
            command = ["perf", "probe", "-q", "-x", program, f"bench:{name}={name}"]
            subprocess.run(command, capture_output=True, check=False)
        try:
            listed = Path("/sys/kernel/tracing/events/bench")
            events = [f"bench:{name}" for name in ALLOCATIONS if (listed / name).exists()]
            if not events:
                return "Allocations: no probe could be set.\n"
            each = self.counted(events)
        finally:
            subprocess.run(["perf", "probe", "-q", "-d", "bench:*"], capture_output=True, check=False)
        lines = [f"{name:24} {count:8.3f}" for name, count in sorted(each.items(), key=lambda item: -item[1])]
        return f"Calls of the allocator per request: {sum(each.values()):.2f}\n" + "\n".join(lines) + "\n"

    def hot(self, folder: Path) -> str:
        """Where the CPU time goes, by symbol; the recording stays in the folder."""
        data = folder / f"{self.target.name}.perf"
        record = ["record", "-q", "-F", str(FREQUENCY), "-e", "cpu-clock", "-p", self.pids, "-o", str(data)]
        requests, said = self.watched(record)
        if not data.exists():
            return f"Where time goes: perf says {said[-300:]}\n"
        text = f"Where time goes, over {requests} requests ({data.relative_to(place.REPOSITORY)}):\n"
        for title, keys in (("by program", "dso"), ("by symbol", "symbol,dso")):
            command = ["perf", "report", "-i", str(data), "--stdio", "--no-children", "-s", keys]
            command += ["--percent-limit", "0.4"]
            report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            lines = [line.rstrip() for line in report.splitlines() if line.strip() and not line.startswith("#")]
            text += f"\n{title}:\n" + "\n".join(lines[:60]) + "\n"
        return text


def read_counts(text: str) -> dict[str, float]:
    """Reads what `perf stat -x ';'` prints: a count, a unit and the event's name in a line."""
    counts = {}
    for line in text.splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].isdigit():
            counts[fields[2]] = counts.get(fields[2], 0.0) + float(fields[0])
    return counts
