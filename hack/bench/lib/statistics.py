"""Medians, spreads and ratios over rounds.

In: records. Out: numbers. Ratios are taken within each round, whose loads ran one right after the other, and only then
is the median taken: what disturbs the machine for longer cancels out.
"""

from dataclasses import dataclass
from statistics import median

# Of the columns of every table; no proxy first, ours last.
ORDER = ("direct", "haproxy", "nginx", "envoy", "weft-off", "weft")


@dataclass
class Spread:
    """The middle of some values, and how far they reach."""

    middle: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: list[float]) -> "Spread | None":
        """None of nothing."""
        return Spread(median(values), min(values), max(values), len(values)) if values else None

    def show(self, digits: int = 1) -> str:
        """For a table."""
        middle, low, high = (f"{value:,.{digits}f}" for value in (self.middle, self.low, self.high))
        return middle if self.count == 1 else f"{middle} ({low}–{high})"


class Records:
    """What was measured, by scenario, case and target."""

    def __init__(self, records: list[dict]):
        self.all = records

    def of(self, scenario: str) -> list[dict]:
        """Those of a scenario."""
        return [record for record in self.all if record["scenario"] == scenario]

    def cases(self, scenario: str) -> list[str]:
        """The cases of a scenario, in the order in which they were run."""
        return list(dict.fromkeys(record["case"] for record in self.of(scenario)))

    def targets(self, scenario: str) -> list[str]:
        """Those that have records of a scenario, in the order of the columns, or of the records."""
        found = list(dict.fromkeys(record["target"] for record in self.of(scenario)))
        return sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def rounds(self, scenario: str, case: str, target: str, field: str) -> dict[int, float]:
        """A field by round. A load with failures does not count: errors are cheap."""
        return {
            record["round"]: record[field]
            for record in self.of(scenario)
            if (record["case"], record["target"]) == (case, target) and field in record and sound(record)
        }

    def spread(self, scenario: str, case: str, target: str, field: str) -> Spread | None:
        """The spread of a field over the rounds."""
        return Spread.of(list(self.rounds(scenario, case, target, field).values()))

    def ratio(self, scenario: str, case: str, target: str, other: str, field: str) -> Spread | None:
        """The spread of a target's field over another's, paired by round."""
        mine, theirs = (self.rounds(scenario, case, name, field) for name in (target, other))
        return Spread.of([mine[number] / theirs[number] for number in sorted(mine) if theirs.get(number)])

    def above(self, case: str, target: str, field: str) -> Spread | None:
        """By how much a target's field of a ping is above that without a proxy, paired by round."""
        mine, direct = (self.rounds("ping", case, name, field) for name in (target, "direct"))
        return Spread.of([mine[number] - direct[number] for number in sorted(mine) if number in direct])

    def value(self, scenario: str, case: str, target: str, field: str) -> float | None:
        """The field of the one record there is."""
        for record in self.of(scenario):
            if (record["case"], record["target"]) == (case, target) and field in record:
                return record[field]
        return None

    def latencies(self, case: str, target: str) -> dict[int, list[int]]:
        """The latencies of each round, sorted, in nanoseconds."""
        return self.rounds("latency", case, target, "nanoseconds")

    def own_latency(self, case: str, target: str, quantile: float) -> Spread | None:
        """A quantile of a target's latency, in microseconds: of all rounds together, and how far those reach."""
        rounds = [values for values in self.latencies(case, target).values() if values]
        if not rounds or not enough(sum(map(len, rounds)), quantile):
            return None
        each = Spread.of([rank(values, quantile) / 1000 for values in rounds])
        return Spread(rank(sorted(sum(rounds, [])), quantile) / 1000, each.low, each.high, each.count)

    def added(self, case: str, target: str, quantile: float) -> Spread | None:
        """What a target adds to a quantile of the backend's own latency, in microseconds, paired by round."""
        mine, direct = self.latencies(case, target), self.latencies(case, "direct")
        both = [number for number in sorted(mine) if number in direct and mine[number] and direct[number]]
        if not both or not enough(sum(len(mine[number]) for number in both), quantile):
            return None
        rounds = Spread.of([(rank(mine[n], quantile) - rank(direct[n], quantile)) / 1000 for n in both])
        pooled = [rank(sorted(sum((by[n] for n in both), [])), quantile) for by in (mine, direct)]
        return Spread((pooled[0] - pooled[1]) / 1000, rounds.low, rounds.high, len(both))


# Above this share of the proxy's core, what others do shows in what is measured.
QUIET = 0.05


def disturbance(records: list[dict]) -> Spread | None:
    """What share of the proxy's core others took."""
    return Spread.of([record["disturbance"] for record in records if "disturbance" in record])


def sound(record: dict) -> bool:
    """Whether a record counts: at most one in ten thousand requests failed."""
    return "error" not in record and record.get("failed", 0) <= record.get("ok", 0) / 10_000


def enough(samples: int, quantile: float) -> bool:
    """Whether there are at least three samples beyond a quantile, for it to be more than the largest one."""
    return samples * (1 - quantile) >= 2.999


def rank(ordered: list[int], quantile: float) -> int:
    """The smallest value that this share of the values does not exceed (nearest rank)."""
    return ordered[min(max(-int(-len(ordered) * quantile // 1), 1), len(ordered)) - 1]
