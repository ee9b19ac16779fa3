"""The memory of a proxy for each connection that rests.

In: what was asked for. Out: records in bytes. Resident memory counts; what the kernel itself holds for sockets does not.
"""

import json
import resource
import select
import subprocess
import time
from contextlib import contextmanager

from .. import place as shared
from ..measure import Recorder
from ..memory import SETTLE
from ..process import Process, Processes, on_cpu
from ..scenario import Plan
from . import place
from .load import ping
from .scenario import STARTS, Field

CONNECTIONS = 50_000
# Both sides of the proxy take descriptors, and it has some of its own.
FILES = 2 * CONNECTIONS + 2000
# A source address has 28,000 ports, and weft-proxy takes 10,000 connections of one by default.
SOURCES = [f"127.0.0.{last}" for last in range(11, 21)]
# How long all of them may take to open.
PATIENCE = 60


def file_limit(wanted: int) -> int:
    """Lets what is started from now on open as many files, where that is allowed; how many it is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):
            pass
    return most


@contextmanager
def connections(programs: dict[str, str], port: int, count: int):
    """Opens connections, has a byte sent back on each, and lets them rest."""
    command = [programs["rawload"], "idle", "--connections", str(count), "--sources", ",".join(SOURCES)]
    child = subprocess.Popen(
        [*command, f"{shared.HOST}:{port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=on_cpu(shared.LOAD_CPU),
    )
    try:
        if not select.select([child.stdout], [], [], PATIENCE)[0]:
            raise RuntimeError(f"{count} connections to port {port} are not open after {PATIENCE} s")
        said = json.loads(child.stdout.readline() or "{}")
        if said.get("ok") != count:
            raise RuntimeError(f"of {count} connections to port {port}: {said}")
        yield
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def measure(recorder: Recorder, name: str, process: Process, port: int, count: int) -> None:
    """One proxy: at rest, then with connections that rest."""
    time.sleep(SETTLE)
    recorder.add(scenario="idle", case="at rest", target=name, **process.memory())
    ping().run(recorder.programs, port, 1)  # so that what it takes once is not counted per connection
    time.sleep(SETTLE)
    before = process.memory()
    case = f"{count:,} connections"
    try:
        with connections(recorder.programs, port, count):
            time.sleep(SETTLE)
            after = process.memory()
    except (OSError, RuntimeError) as error:
        recorder.add(scenario="idle", case=case, target=name, error=str(error))
        return
    each = round((after["rss"] - before["rss"]) / count, 1)
    recorder.add(scenario="idle", case=case, target=name, connections=count, per_connection=each, **after)


def idle(recorder: Recorder, plan: Plan) -> None:
    """Every proxy, started anew: before traffic, and with connections that rest."""
    wanted = 2000 if plan.quick else CONNECTIONS
    count = min(wanted, (file_limit(FILES) - 2000) // 2)
    for name in plan.targets:
        if name == "direct" or recorder.over():
            continue
        only = Plan([name], plan.folder, plan.rounds, plan.seconds, plan.quick)
        with Processes(plan.folder) as processes:
            process = Field(processes, recorder, only).running[name]
            measure(recorder, name, process, STARTS[name][1] + place.ECHO, count)
