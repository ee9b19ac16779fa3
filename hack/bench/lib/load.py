"""Runs a load generator for a bounded time and reads what it says.

In: what to send where. Out: how many requests were answered and how many failed, and how long that took.
"""

import json
import re
import subprocess
from dataclasses import dataclass

from . import place
from .process import on_cpu

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass
class Load:
    """A load: a generator, and how it is called."""

    tool: str
    arguments: list[str]
    path: str = "/0"
    h2c: bool = False

    def run(self, programs: dict[str, str], port: int, seconds: int) -> dict:
        """Sends it; ends by itself in all cases."""
        url = f"http://{place.HOST}:{port}{self.path}"
        program = programs[self.tool]
        if self.tool == "wrk":
            command = [program, "-t1", f"-d{seconds}s", "--timeout", "5s", *self.arguments, url]
            read = read_wrk
        elif self.tool == "h2load":
            command = [program, "-t1", f"-D{seconds}", "-N", "5", *self.arguments, url]
            read = read_h2load
        else:
            command = [program, "--path", self.path, "--seconds", str(seconds), *self.arguments]
            command.append(f"{place.HOST}:{port}")
            read = json.loads
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            check=False,
            preexec_fn=on_cpu(place.LOAD_CPU),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1000:]}{done.stdout[-1000:]}")
        return read(done.stdout)


def wrk(connections: int, path: str = "/0", headers: tuple[str, ...] = ()) -> Load:
    """HTTP/1.1 as fast as it goes."""
    return Load("wrk", [f"-c{connections}", *(part for header in headers for part in ("-H", header))], path)


def h2load(clients: int, streams: int, path: str = "/0", grpc_body: str | None = None) -> Load:
    """h2c as fast as it goes; with a body, a gRPC call."""
    arguments = [f"-c{clients}", f"-m{streams}"]
    if grpc_body is not None:
        arguments += ["-d", grpc_body, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    return Load("h2load", arguments, path, h2c=True)


def openloop(rate: int, path: str = "/1k") -> Load:
    """HTTP/1.1 at a fixed rate."""
    return Load("openloop", ["--rate", str(rate)], path)


def read_wrk(text: str) -> dict:
    """Reads what wrk prints."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    if not total:
        raise RuntimeError(f"wrk says something else than expected: {text[:1000]}")
    count, time, unit = total.groups()
    seconds = float(time) * {**UNITS, "m": 60.0}[unit]
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = int(wrong.group(1)) if wrong else 0
    broken = sum(map(int, sockets.groups())) if sockets else 0
    return {"ok": int(count) - failed, "failed": failed + broken, "seconds": seconds}


def read_h2load(text: str) -> dict:
    """Reads what h2load prints. Requests that were under way at the end did not fail; they are in neither number."""
    took = re.search(r"finished in ([\d.]+)(us|ms|s),", text)
    requests = re.search(
        r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, \d+ errored, \d+ timeout", text
    )
    if not took or not requests:
        raise RuntimeError(f"h2load says something else than expected: {text[:1000]}")
    done, succeeded, failed = map(int, requests.groups())
    return {
        "ok": succeeded,  # 2xx and 3xx
        "failed": max(done - succeeded, failed),
        "seconds": float(took.group(1)) * UNITS[took.group(2)],
    }
