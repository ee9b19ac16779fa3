"""What the benchmarks beside other proxies have in common: what can be asked for, the run, and what is kept of it.

In: the scenarios and targets of one benchmark. Out: records on disk, and a report.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import install, place, process, scenario
from .measure import Recorder


@dataclass
class Benchmark:
    """One benchmark."""

    doc: str
    # Where what is measured is kept.
    output: Path
    # In the order of their weight, should the time not be enough.
    scenarios: dict[str, Callable[[Recorder, scenario.Plan], None]]
    targets: list[str]
    minutes: float
    # Finds or makes every program that the targets need; gets a weft-proxy that was built already.
    programs: Callable[[set[str], str | None], dict[str, str]]
    report: Callable[[dict], str]
    # Once nothing more has to be fetched.
    prepare: Callable[[], None] = lambda: None


def arguments(benchmark: Benchmark) -> argparse.Namespace:
    """What was asked for."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=benchmark.doc, formatter_class=formatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(benchmark.scenarios))
    parser.add_argument("--targets", default=",".join(benchmark.targets), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, help="of each load; 5 by default")
    parser.add_argument("--seconds", type=int, help="that each load takes; 3 by default")
    parser.add_argument(
        "--minutes", type=float, default=benchmark.minutes, help="after which no round begins; default: %(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="one round of one second, and fewer cases")
    parser.add_argument("--nice", type=int, default=0, help="below 0: ahead of others, where the machine is not quiet")
    parser.add_argument("--weft", metavar="FILE", help="a weft-proxy that was built already")
    parser.add_argument("--report", metavar="FILE", help="measure nothing; write the report of this run")
    given = parser.parse_args()
    for wrong in set(given.scenarios) - set(benchmark.scenarios):
        parser.error(f"there is no scenario {wrong}; there are {', '.join(benchmark.scenarios)}")
    given.targets = given.targets.split(",")
    for wrong in set(given.targets) - set(benchmark.targets):
        parser.error(f"there is no target {wrong}; there are {', '.join(benchmark.targets)}")
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.seconds = given.seconds or (1 if given.quick else 3)
    return given


def machine() -> dict:
    """What this was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    describe = ["git", "-C", str(place.REPOSITORY), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(), "commit": commit or "unknown"}


def measure(benchmark: Benchmark, given: argparse.Namespace) -> dict:
    """Runs the scenarios; what came of them is on disk from the first record on."""
    if not {place.PROXY_CPU, place.LOAD_CPU} <= os.sched_getaffinity(0):
        sys.exit("bench: two CPUs are needed, numbers 0 and 1")
    programs = benchmark.programs(set(given.targets), given.weft)
    started = datetime.datetime.now(datetime.timezone.utc)
    run = {"started": f"{started:%Y-%m-%d %H:%M} UTC", "arguments": vars(given), "machine": machine()}
    run["versions"] = install.versions(programs)
    path = benchmark.output / f"{started:%Y%m%d-%H%M%S}.json"
    folder = benchmark.output / "work"
    folder.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {place.LOAD_CPU})
    process.raise_file_limit()
    process.PRIORITY["nice"] = given.nice
    benchmark.prepare()
    recorder = Recorder(programs, time.monotonic() + given.minutes * 60)
    run.update(records=recorder.records, skipped=recorder.skipped, file=str(path.relative_to(place.REPOSITORY)))

    def save() -> None:
        path.write_text(json.dumps(run))

    plan = scenario.Plan(given.targets, folder, given.rounds, given.seconds, given.quick)
    for name in given.scenarios or benchmark.scenarios:
        if recorder.over():
            recorder.skipped.append(name)
            continue
        install.say(f"{name} ...")
        benchmark.scenarios[name](recorder, plan)
        save()
    return run


def main(benchmark: Benchmark) -> None:
    """Measures, or reads what was measured, and reports."""
    given = arguments(benchmark)
    if given.report:
        print(benchmark.report(json.loads(Path(given.report).read_text())))
        return
    with process.alone(place.OUTPUT):
        run = measure(benchmark, given)
    text = benchmark.report(run) + f"\nRaw data: `{run['file']}`.\n"
    (place.REPOSITORY / run["file"]).with_suffix(".md").write_text(text)
    print(text)
