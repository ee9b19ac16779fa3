"""Writes what was measured with TCP and UDP as Markdown.

In: a run, as it is kept on disk. Out: text.
"""

from ..bars import MIB
from ..report import frame, show, table
from ..statistics import Records, Spread
from .bars import bars


def by_case(records: Records, scenario: str, field: str, scale: float = 1.0, digits: int = 1) -> str:
    """A field of every case and target."""
    targets = records.targets(scenario)
    if field == "cpu_us":
        targets = [target for target in targets if target != "direct"]

    def cell(case: str, target: str) -> str:
        values = records.rounds(scenario, case, target, field).values()
        return show(Spread.of([value * scale for value in values]), digits)

    rows = [[case, *(cell(case, target) for target in targets)] for case in records.cases(scenario)]
    return table([scenario, *targets], rows)


def bulk(records: Records) -> str:
    """Throughput, and what it costs."""
    return (
        f"Megabytes per second, median (least–most), with one core for the proxy:\n\n{by_case(records, 'bulk', 'rate', 1, 0)}\n"
        f"CPU seconds of the proxy per gigabyte:\n\n{by_case(records, 'bulk', 'cpu_us', 1e-3, 3)}\n"
        "How much of the core that sends and receives was busy, which is the limit where the proxy's is not:\n\n"
        f"{by_case(records, 'bulk', 'load_cpu_share', 1, 2)}\n"
    )


def new(records: Records) -> str:
    """New connections."""
    return (
        f"Connections per second:\n\n{by_case(records, 'new', 'rate', 1, 0)}\n"
        f"CPU microseconds of the proxy per connection:\n\n{by_case(records, 'new', 'cpu_us')}\n"
    )


def ping(records: Records) -> str:
    """What is added to an exchange."""
    rows = []
    targets = [target for target in records.targets("ping") if target != "direct"]
    for case in records.cases("ping"):
        for name, field in (("p50", "p50_us"), ("p99", "p99_us")):
            own = records.spread("ping", case, "direct", field)
            rows.append([f"{case}, {name}", show(own), *(show(records.above(case, target, field)) for target in targets)])
    return (
        "Microseconds added to an exchange without a proxy, paired by round:\n\n"
        f"{table(['ping', 'direct itself', *targets], rows)}\n"
    )


def udp(records: Records) -> str:
    """Datagrams."""
    return f"Datagrams per second that came to their end:\n\n{by_case(records, 'udp', 'rate', 1, 0)}\n{lost(records, 'udp')}"


def udp_at_a_rate(records: Records) -> str:
    """Datagrams that are sent at a rate, which is the client's and says nothing of a proxy."""
    return lost(records, "udp at a rate")


def lost(records: Records, scenario: str) -> str:
    """What did not come to its end, and what it costs."""
    return (
        f"Lost, in percent of those sent:\n\n{by_case(records, scenario, 'loss', 100, 2)}\n"
        f"CPU microseconds of the proxy per datagram:\n\n{by_case(records, scenario, 'cpu_us', 1, 2)}\n"
    )


def idle(records: Records) -> str:
    """Resident memory."""
    targets = records.targets("idle")
    rows = []
    for case in records.cases("idle"):
        values = [records.value("idle", case, target, "rss") for target in targets]
        rows.append([f"{case}, MiB", *("–" if value is None else f"{value / MIB:.1f}" for value in values)])
        each = [records.value("idle", case, target, "per_connection") for target in targets]
        if any(value is not None for value in each):
            rows.append(["an idle connection, bytes", *("–" if value is None else f"{value:,.0f}" for value in each)])
    return f"Resident memory:\n\n{table(['idle', *targets], rows)}\n"


def report(run: dict) -> str:
    """All of it."""
    records = Records(run["records"])
    writers = {"bulk": bulk, "new": new, "ping": ping, "udp": udp, "udp at a rate": udp_at_a_rate, "idle": idle}
    sections = [(name, write(records)) for name, write in writers.items() if records.of(name)]
    return frame("hack/bench/l4", run, bars(records), sections)
