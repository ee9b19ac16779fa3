"""Starts programs on one CPU, reads what they use, and ends them.

In: a command. Out: a `Process`. Every process is ended by its id when its `Processes` close, and told to end by the
kernel should this program be killed itself.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def raise_file_limit() -> int:
    """Lets this program and its children open as many files as they may; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


# How all that is measured, and what feeds it, stand to others on this machine; set once, before any starts.
PRIORITY = {"nice": 0}


def get_ahead(nice: int) -> None:
    """Gives this process another priority. Where the scheduler groups processes by session, that of its own session."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    if os.path.exists("/proc/self/autogroup"):
        os.setsid()
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))


def on_cpu(cpu: int):
    """What a child does before it becomes its program."""

    def prepare() -> None:
        if PRIORITY["nice"]:
            get_ahead(PRIORITY["nice"])
        # A master that is told to end takes its workers along; one that is killed does not.
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, {cpu})

    return prepare


@contextmanager
def alone(folder: Path):
    """Only one of these may run on a machine at a time: they have the same ports and CPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    # Each ends what runs here in good order; a shell may have started this with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("bench: told to end"))
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("bench: another one is running here")
        yield


class Process:
    """A program that runs."""

    def __init__(self, command: list[str], cpu: int, log: Path, folder: Path):
        self.log = log
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, preexec_fn=on_cpu(cpu)
            )

    def family(self) -> list[int]:
        """The process and its children: a master and its workers."""
        pids = [self.child.pid]
        for pid in pids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids.extend(int(child) for child in children.read_text().split())
        return pids

    def cpu_nanoseconds(self) -> int:
        """The CPU time of all threads of the family so far, from the scheduler."""
        total = 0
        for pid in self.family():
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(path.read_text().split()[0])
                except OSError:
                    continue  # the thread has just ended
        return total

    def memory(self) -> dict[str, int]:
        """The resident memory of the family in bytes, and how much of it is not of files."""
        total = {"rss": 0, "anonymous": 0}
        fields = {"VmRSS:": "rss", "RssAnon:": "anonymous"}
        for pid in self.family():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition("\t")
                if name in fields:
                    total[fields[name]] += int(value.split()[0]) * 1024
        return total

    def wait_for_port(self, port: int, patience: float = 20.0) -> None:
        """Returns once the program takes connections."""
        deadline = time.monotonic() + patience
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                self.demand_alive()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing listens on port {port}: {self.last_words()}") from None
                time.sleep(0.02)

    def demand_alive(self) -> None:
        """Fails where the program has ended."""
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.child.args[0]} has ended: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it logged."""
        return self.log.read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """Ends it and its children."""
        family = self.family() if self.child.poll() is None else []
        self.child.terminate()
        try:
            self.child.wait(1)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        for pid in family[1:]:
            # A worker whose master was killed.
            if Path(f"/proc/{pid}").exists():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


class Processes:
    """All that run; as a context, they end with it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: list[Process] = []

    def start(self, name: str, command: list[str], cpu: int) -> Process:
        """Starts one more."""
        process = Process(command, cpu, self.folder / f"{name}.log", self.folder)
        self.running.append(process)
        return process

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_) -> None:
        while self.running:
            self.running.pop().end()
