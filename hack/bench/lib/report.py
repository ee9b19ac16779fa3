"""Writes what was measured as Markdown.

In: a run, as it is kept on disk. Out: text.
"""

from .bars import MIB, Bar, bars
from .statistics import QUIET, Records, Spread, disturbance, sound

COMPARED = ("h1", "new", "h2c", "grpc")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def show(spread: Spread | None, digits: int = 1) -> str:
    """A spread, where there is one."""
    return spread.show(digits) if spread else "–"


def compared(records: Records, scenario: str) -> str:
    """CPU per request, its ratio to the peers', and rates."""
    cases, targets = records.cases(scenario), records.targets(scenario)
    proxies = [target for target in targets if target != "direct"]
    cpu = [[case, *(show(records.spread(scenario, case, target, "cpu_us")) for target in proxies)] for case in cases]
    rates = [[case, *(show(records.spread(scenario, case, target, "rate"), 0) for target in targets)] for case in cases]
    text = f"CPU microseconds per request, median (least–most):\n\n{table([scenario, *proxies], cpu)}\n"
    mine = [target for target in ("weft-off", "weft") if target in proxies]
    others = [target for target in proxies if target not in mine]
    if mine and others:
        pairs = [(target, other) for target in mine for other in others]
        head = [scenario, *(f"{target} / {other}" for target, other in pairs)]
        rows = [[case, *(show(records.ratio(scenario, case, *pair, "cpu_us"), 2) for pair in pairs)] for case in cases]
        text += f"The same as a ratio, paired by round:\n\n{table(head, rows)}\n"
    return text + f"Requests per second, with one core for the proxy:\n\n{table([scenario, *targets], rates)}\n"


def latency(records: Records) -> str:
    """What is added to the backend's own latency."""
    targets = records.targets("latency")
    rows = []
    for case in records.cases("latency"):
        for name, quantile in QUANTILES.items():
            own = records.own_latency(case, "direct", quantile)
            added = [show(records.added(case, target, quantile), 0) for target in targets if target != "direct"]
            rows.append([f"{case}, {name}", show(own, 0), *added])
    head = ["rate, quantile", "direct itself", *(target for target in targets if target != "direct")]
    late = Spread.of([record["late_p99_us"] for record in records.of("latency") if "late_p99_us" in record])
    return (
        "Microseconds added to the latency without a proxy: all rounds together (least–most of a round). – is too few "
        f"samples. The client itself was late by {show(late, 0)} µs at its p99.\n\n{table(head, rows)}\n"
    )


def memory(records: Records) -> str:
    """Resident memory."""
    targets = records.targets("memory")
    rows = []
    for case in records.cases("memory"):
        values = [records.value("memory", case, target, "rss") for target in targets]
        rows.append([f"{case}, MiB", *("–" if value is None else f"{value / MIB:.1f}" for value in values)])
    each = [records.value("memory", "idle connections", target, "per_connection") for target in targets]
    rows.append(["an idle connection, bytes", *("–" if value is None else f"{value:,.0f}" for value in each)])
    return f"Resident memory:\n\n{table(['memory', *targets], rows)}\n"


def against_first(records: Records, scenario: str) -> str:
    """CPU per request of each target, and against the first."""
    targets = records.targets(scenario)
    rows = []
    for case in records.cases(scenario):
        for target in targets:
            cpu = records.spread(scenario, case, target, "cpu_us")
            ratio = records.ratio(scenario, case, target, targets[0], "cpu_us")
            rows.append([target, show(cpu, 2), show(ratio, 3)])
    return f"CPU microseconds per request:\n\n{table([scenario, 'CPU µs', f'/ {targets[0]}'], rows)}\n"


def failures(records: Records) -> str:
    """What did not count, so that nobody looks for it in vain."""
    lines = []
    for record in records.all:
        if not sound(record):
            what = record.get("error") or f"{record['failed']} failed, {record['ok']} answered"
            number = f", round {record['round'] + 1}" if "round" in record else ""
            who = f"{record['scenario']}, {record['case']}, {record['target']}{number}"
            lines.append(f"- {who}: {what.splitlines()[0]}")
    return "Not counted, because requests failed:\n\n" + "\n".join(lines) + "\n" if lines else ""


def quiet(records: Records) -> str:
    """How quiet the machine was."""
    spread = disturbance(records.all)
    if not spread:
        return ""
    text = f"Others took {spread.middle:.1%} of the proxy's core "
    text += f"(median of {spread.count} loads; {spread.high:.1%} at worst)."
    return text + (" **The machine was not quiet: repeat this.**" if spread.middle > QUIET else "")


def frame(name: str, run: dict, judged: list[Bar], sections: list[tuple[str, str]]) -> str:
    """A report of a benchmark: where and by what it was measured, the bars, its sections, and what did not count."""
    records = Records(run["records"])
    machine = run["machine"]
    parts = [f"# `{name}`, {run['started']}\n"]
    parts.append(f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, commit {machine['commit']}.\n")
    parts.append("\n".join(f"- {name}: {said}" for name, said in run["versions"].items()) + "\n")
    rows = [[bar.name, bar.measured, bar.verdict] for bar in judged]
    parts.append(f"## Bars\n\n{table(['bar', 'measured', 'verdict'], rows)}")
    parts += [f"## {title}\n\n{text}" for title, text in sections]
    if run["skipped"]:
        parts.append("Left out, for the time was over:\n\n" + "\n".join(f"- {what}" for what in run["skipped"]) + "\n")
    parts += [failures(records), quiet(records)]
    return "\n".join(part for part in parts if part)


def report(run: dict) -> str:
    """All of it."""
    records = Records(run["records"])
    sections = [(scenario, compared(records, scenario)) for scenario in COMPARED if records.of(scenario)]
    for scenario, write in (("latency", latency), ("memory", memory)):
        if records.of(scenario):
            sections.append((scenario, write(records)))
    for scenario in ("policies", "services", "access"):
        if records.of(scenario):
            sections.append((scenario, against_first(records, scenario)))
    return frame("hack/bench/http", run, bars(records), sections)
