"""The bars that the proxy is held to, and whether it clears them.

In: records. Out: for each bar what was measured, and passed, missed or not measured. All are about weft-proxy with
every default on. A bar over several cases is as good as the worst of them.
"""

from dataclasses import dataclass

from .statistics import QUIET, Records, disturbance

KIB, MIB = 1024, 1024 * 1024


@dataclass
class Bar:
    """A bar, and how high it was jumped."""

    name: str
    measured: str
    verdict: str


def verdict(passed: bool) -> str:
    """In a word."""
    return "passed" if passed else "**missed**"


def ratio_bar(
    records: Records,
    scenario: str,
    field: str,
    what: str,
    other: str,
    bound: float,
    at_least: bool = False,
    strictly: bool = False,
) -> Bar:
    """A field against another proxy's: at most the bound, or at least."""
    sign = {(False, False): "≤", (False, True): "<", (True, False): "≥", (True, True): ">"}[at_least, strictly]
    name = f"{scenario}: {what} {sign} {bound:.2f} × {other}'s"
    ratios = {case: records.ratio(scenario, case, "weft", other, field) for case in records.cases(scenario)}
    known = {case: ratio.middle for case, ratio in ratios.items() if ratio}
    # Errors are cheap: a case that the other proxy serves and ours does not is no case to leave out.
    failing = [
        case
        for case in ratios
        if case not in known
        and records.spread(scenario, case, other, field)
        and any((record["case"], record["target"]) == (case, "weft") for record in records.of(scenario))
    ]
    if not known:
        return Bar(name, *(("fails in all cases", verdict(False)) if failing else ("", "not measured")))

    def clears(value: float) -> bool:
        return (value > bound if at_least else value < bound) or (value == bound and not strictly)

    cleared = [clears(value) for value in known.values()]
    low, high = min(known, key=known.get), max(known, key=known.get)
    worst, best = (low, high) if at_least else (high, low)
    text = f"{known[worst]:.2f} at worst ({worst}), {known[best]:.2f} at best; "
    text += f"clears {sum(cleared)} of {len(cleared)} cases"
    text += f"; fails in {', '.join(failing)}" if failing else ""
    return Bar(name, text, verdict(all(cleared) and not failing))


def cpu_ratio(records: Records, scenario: str, other: str, most: float, strictly: bool = False) -> Bar:
    """CPU per request against another proxy's."""
    return ratio_bar(records, scenario, "cpu_us", "CPU per request", other, most, strictly=strictly)


def added_p99(records: Records, other: str) -> Bar:
    """Added p99 against another proxy's."""
    name = f"added p99 at 2,000/s ≤ {other}'s"
    mine, theirs = (records.added("2000/s", target, 0.99) for target in ("weft", other))
    if not mine or not theirs:
        return Bar(name, "", "not measured")
    text = f"{mine.middle:.0f} µs against {theirs.middle:.0f} µs"
    # CPU time is the proxy's own whatever others do; a tail of latencies is everybody's.
    others = disturbance(records.of("latency"))
    if others and others.middle > QUIET:
        return Bar(name, text, "not known: the machine was not quiet")
    return Bar(name, text, verdict(mine.middle <= theirs.middle))


def memory(records: Records, name: str, case: str, field: str, most: int, unit: int, suffix: str) -> Bar:
    """Memory below a bound."""
    value = records.value("memory", case, "weft", field)
    if value is None:
        return Bar(name, "", "not measured")
    return Bar(name, f"{value / unit:.1f} {suffix}", verdict(value <= most))


def access(records: Records, most: float) -> Bar:
    """CPU per request of access control against none."""
    name = f"access: CPU per request ≤ {most:.2f} × none's"
    ratios = {}
    for case in records.cases("access"):
        for target in records.targets("access"):
            if target != "none" and (ratio := records.ratio("access", case, target, "none", "cpu_us")):
                ratios[target] = ratio.middle
    if not ratios:
        return Bar(name, "", "not measured")
    worst = max(ratios, key=ratios.get)
    return Bar(name, f"{ratios[worst]:.2f} at worst ({worst})", verdict(ratios[worst] <= most))


def bars(records: Records) -> list[Bar]:
    """All of them."""
    found = [
        cpu_ratio(records, "h1", "haproxy", 1.15),
        cpu_ratio(records, "h1", "haproxy", 1.0),
        cpu_ratio(records, "h1", "envoy", 1 / 3),
    ]
    for scenario in ("h2c", "grpc"):
        found.append(cpu_ratio(records, scenario, "haproxy", 1.0))
        found.append(cpu_ratio(records, scenario, "nginx", 1.0, strictly=True))
    found.append(access(records, 1.10))
    found += [added_p99(records, "haproxy"), added_p99(records, "envoy")]
    found += [
        memory(records, "an idle connection ≤ 4 KiB", "idle connections", "per_connection", 4 * KIB, KIB, "KiB"),
        memory(records, "100 Services ≤ 20 MiB", "100 Services", "rss", 20 * MIB, MIB, "MiB"),
        memory(records, "1,000 Services of 10 endpoints ≤ 60 MiB", "1000 Services", "rss", 60 * MIB, MIB, "MiB"),
    ]
    return found
