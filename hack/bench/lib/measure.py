"""Measures: each case on each target, in rounds that take turns, until the time is over.

In: cases and targets. Out: records, one for each load that was run. Targets of a round run one right after the other,
so that what disturbs the machine for longer disturbs all of them; the report compares within rounds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import place
from .install import say
from .load import Load
from .process import Process

# Columns of /proc/stat that are work: all but idle and iowait, and guests, which are in user already.
WORK = (1, 2, 3, 6, 7, 8)
TICK = 10_000_000  # nanoseconds; USER_HZ is 100 on every architecture that matters


@dataclass
class Target:
    """What is measured: a port, and the process whose CPU time counts. The backend itself has none."""

    name: str
    port: int
    process: Process | None = None


@dataclass
class Case:
    """A load with a name; targets may differ by what it is."""

    scenario: str
    name: str
    load: Load
    targets: list[Target]
    rounds: int
    seconds: int
    # How often the backend itself is measured: it is no competitor but where latency is compared with it.
    direct_rounds: int = 1


@dataclass
class Recorder:
    """Keeps every record, on disk too, and the time."""

    programs: dict[str, str]
    deadline: float
    records: list[dict] = field(default_factory=list)
    save: Callable[[], None] = lambda: None
    skipped: list[str] = field(default_factory=list)

    def over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() > self.deadline

    def add(self, **record) -> None:
        """Keeps a record."""
        self.records.append(record)
        self.save()

    def run(self, case: Case) -> None:
        """Runs a case: a short warm-up of each target, then the rounds."""
        failing = {target.name for target in case.targets if not self.warm_up(case, target)}
        targets = [target for target in case.targets if target.name not in failing]
        for number in range(case.rounds):
            if self.over():
                self.skipped.append(f"{case.scenario} {case.name}: rounds {number + 1} to {case.rounds}")
                return
            # Each starts a round in turn, for the one after a heavy target finds a warmer machine.
            shift = number % max(len(targets), 1)
            for target in targets[shift:] + targets[:shift]:
                if target.process is None and number >= case.direct_rounds:
                    continue
                self.measure(case, target, number)

    def warm_up(self, case: Case, target: Target) -> bool:
        """Sends the load for a second; whether it is answered."""
        try:
            result = case.load.run(self.programs, target.port, 1)
            if result["ok"]:
                return True
            error = "no request was answered"
        except RuntimeError as failure:
            error = str(failure)
        say(f"{case.scenario} {case.name}: {target.name} fails: {error}")
        self.add(scenario=case.scenario, case=case.name, target=target.name, error=error)
        return False

    def measure(self, case: Case, target: Target, number: int) -> None:
        """Runs one load and records it."""
        used, work, began = cpu(target), cpu_work(), time.monotonic()
        try:
            result = case.load.run(self.programs, target.port, case.seconds)
        except RuntimeError as failure:
            say(f"{case.scenario} {case.name}: {target.name} fails: {failure}")
            self.add(scenario=case.scenario, case=case.name, target=target.name, round=number, error=str(failure))
            return
        wall = time.monotonic() - began
        used = cpu(target) - used
        work = [after - before for before, after in zip(work, cpu_work())]
        record = {"scenario": case.scenario, "case": case.name, "target": target.name, "round": number, **result}
        record["wall"] = round(wall, 4)
        record["rate"] = round(result["ok"] / result.get("seconds", case.seconds), 1)
        if target.process is not None and result["ok"]:
            record["cpu_us"] = round(used / 1000 / result["ok"], 3)
            record["cpu_share"] = round(used / 1e9 / wall, 3)
        record["disturbance"] = round(max(work[place.PROXY_CPU] - used, 0) / 1e9 / wall, 3)
        record["load_cpu_share"] = round(work[place.LOAD_CPU] / 1e9 / wall, 3)
        self.add(**record)


def cpu(target: Target) -> int:
    """The CPU time of a target so far."""
    return target.process.cpu_nanoseconds() if target.process else 0


def cpu_work() -> list[int]:
    """For how many nanoseconds each CPU has worked so far, for whomever."""
    lines = Path("/proc/stat").read_text().splitlines()
    return [
        sum(int(line.split()[column]) for column in WORK) * TICK
        for line in lines
        if line.startswith("cpu") and line[3].isdigit()
    ]
