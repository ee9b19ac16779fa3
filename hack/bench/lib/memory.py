"""The memory of a proxy: at rest, for each connection that rests, and for each Service.

In: what was asked for. Out: records in bytes. Resident memory counts; what the kernel itself holds for sockets does not.
"""

import socket
import time
from contextlib import contextmanager

from . import peers, place, weft
from .load import wrk
from .measure import Recorder
from .process import Process, Processes, raise_file_limit
from .scenario import Field, Plan

CONNECTIONS = 10_000
SETTLE = 1.5  # seconds: some give memory back, or count it, a little later
REQUEST = b"GET /0 HTTP/1.1\r\nHost: bench\r\n\r\n"


@contextmanager
def idle_connections(port: int, count: int):
    """Opens connections, has one request answered on each, and lets them rest."""
    opened = []
    try:
        for _ in range(count):
            connection = socket.create_connection((place.HOST, port), timeout=10)
            opened.append(connection)
            connection.sendall(REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = connection.recv(4096)
                if not piece:
                    raise RuntimeError(f"connection {len(opened)} to port {port} was closed")
                answer += piece
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"connection {len(opened)} to port {port} was answered {answer[:40]!r}")
        yield
    finally:
        for connection in opened:
            connection.close()


def record(recorder: Recorder, target: str, what: str, memory: dict[str, int], **more) -> None:
    """Keeps what was read."""
    recorder.add(scenario="memory", case=what, target=target, **memory, **more)


def at_rest_and_per_connection(recorder: Recorder, plan: Plan) -> None:
    """Every proxy, started anew: before traffic, and with connections that rest."""
    # Both sides of the proxy take descriptors, and so do the connections here.
    count = min(1000 if plan.quick else CONNECTIONS, raise_file_limit() - 1000)
    for name in plan.targets:
        if name in ("direct", "weft-off") or recorder.over():
            continue
        only = Plan([name], plan.folder, plan.rounds, plan.seconds, plan.quick)
        with Processes(plan.folder) as processes:
            process, port, _ = Field(processes, recorder, only).running[name]
            time.sleep(SETTLE)
            record(recorder, name, "at rest", process.memory())
            wrk(32).run(recorder.programs, port, 1)  # so that what it takes once is not counted per connection
            time.sleep(SETTLE)
            before = process.memory()
            try:
                with idle_connections(port, count):
                    time.sleep(SETTLE)
                    after = process.memory()
            except (OSError, RuntimeError) as error:
                recorder.add(scenario="memory", case="idle connections", target=name, error=str(error))
                continue
            each = (after["rss"] - before["rss"]) / count
            record(recorder, name, "idle connections", after, connections=count, per_connection=round(each, 1))


def per_service(recorder: Recorder, plan: Plan) -> None:
    """With many Services of ten endpoints."""
    for count in (100, 1000) if plan.quick else (100, 1000, 10_000):
        if recorder.over():
            return
        what = f"{count} Services"
        if "weft" in plan.targets:
            with Processes(plan.folder) as processes:
                process, _ = weft.start(processes, recorder.programs, weft.many(count), place.SCALE, "scale")
                settled(recorder, "weft", what, process)
        if "haproxy" in plan.targets and count <= 1000:
            with Processes(plan.folder) as processes:
                process = peers.haproxy(processes, recorder.programs, peers.haproxy_services(count, 10))
                settled(recorder, "haproxy", what, process)


def settled(recorder: Recorder, target: str, what: str, process: Process) -> None:
    """Keeps what a process takes once it has come to rest."""
    time.sleep(SETTLE)
    record(recorder, target, what, process.memory())


def memory(recorder: Recorder, plan: Plan) -> None:
    """All of it."""
    at_rest_and_per_connection(recorder, plan)
    per_service(recorder, plan)
