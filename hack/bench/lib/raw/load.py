"""Runs our own load generator for a bounded time and reads what it says.

In: what to send where. Out: how much came through and how much failed, and how long that took.
"""

import json
import subprocess
from dataclasses import dataclass, field

from .. import place as shared
from ..process import Process, Processes, on_cpu
from . import place


@dataclass
class Load:
    """A load: a command of the generator, and its flags; the port of the same kind is its target."""

    kind: int
    command: str
    flags: list[str] = field(default_factory=list)

    def run(self, programs: dict[str, str], port: int, seconds: int) -> dict:
        """Sends it; ends by itself in all cases."""
        command = [programs["rawload"], self.command, *self.flags, "--seconds", str(seconds), f"{shared.HOST}:{port}"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            check=False,
            preexec_fn=on_cpu(shared.LOAD_CPU),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1000:]}{done.stdout[-1000:]}")
        return read(done.stdout)


def read(text: str) -> dict:
    """Reads what the generator prints. A datagram that was lost did not fail: it is what is measured."""
    said = json.loads(text)
    if said.get("sent"):
        said["loss"] = max(1 - said["ok"] / said["sent"], 0.0)
    return said


def bulk(connections: int) -> Load:
    """As much as goes through; counted in megabytes."""
    return Load(place.BULK, "bulk", ["--connections", str(connections)])


def fresh(connections: int) -> Load:
    """One connection after the other, so many at a time."""
    return Load(place.FRESH, "fresh", ["--connections", str(connections)])


def ping() -> Load:
    """A little to and fro."""
    return Load(place.ECHO, "ping")


def datagrams(*flags: str) -> Load:
    """Datagrams of 100 bytes from 16 clients."""
    return Load(place.DATAGRAMS, "datagrams", ["--count", f"{shared.HOST}:{place.COUNT}", *flags])


def serve(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts the server."""
    flags = [part for kind, port in place.BACKENDS.items() for part in (f"--{place.NAMES[kind]}", str(port))]
    command = [programs["rawload"], "serve", *flags, "--count", str(place.COUNT)]
    process = processes.start("rawload", command, shared.LOAD_CPU)
    process.wait_for_port(place.COUNT)
    return process
