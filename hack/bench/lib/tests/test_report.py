"""Medians, paired ratios and verdicts."""

import unittest

from lib.bars import bars
from lib.report import report
from lib.statistics import Records, Spread, enough, rank


def load(target: str, number: int, cpu: float, case: str = "32 connections", **more) -> dict:
    """A record of a load."""
    record = {"scenario": "h1", "case": case, "target": target, "round": number, "ok": 100_000, "failed": 0}
    return {**record, "rate": 50_000.0, "cpu_us": cpu, "disturbance": 0.01, **more}


def latencies(target: str, number: int, values: list[int]) -> dict:
    """A record of latencies."""
    record = {"scenario": "latency", "case": "2000/s", "target": target, "round": number, "ok": len(values)}
    return {**record, "failed": 0, "nanoseconds": values, "p50_us": 1.0, "p99_us": 1.0, "p999_us": 1.0}


class Statistics(unittest.TestCase):
    """What becomes of records."""

    def test_ratios_are_paired_by_round(self):
        # The machine is half as fast in round 1; within each round the ratio is the same.
        records = Records([load("haproxy", 0, 10), load("weft", 0, 11), load("haproxy", 1, 20), load("weft", 1, 22)])
        ratio = records.ratio("h1", "32 connections", "weft", "haproxy", "cpu_us")
        self.assertEqual((round(ratio.low, 3), round(ratio.high, 3), ratio.count), (1.1, 1.1, 2))

    def test_a_load_with_failures_does_not_count(self):
        records = Records([load("weft", 0, 1, failed=500), load("weft", 1, 11)])
        self.assertEqual(records.spread("h1", "32 connections", "weft", "cpu_us"), Spread(11, 11, 11, 1))

    def test_added_latency(self):
        direct, weft = [1000 * n for n in range(1, 1001)], [1000 * n + 50_000 for n in range(1, 1001)]
        records = Records([latencies("direct", 0, direct), latencies("weft", 0, weft)])
        self.assertAlmostEqual(records.added("2000/s", "weft", 0.99).middle, 50)
        self.assertIsNone(records.added("2000/s", "weft", 0.999), "one sample is beyond it")
        self.assertIsNone(records.added("2000/s", "envoy", 0.5))

    def test_quantiles(self):
        self.assertEqual([rank(list(range(1, 101)), q) for q in (0.5, 0.99, 1.0)], [50, 99, 100])
        self.assertTrue(enough(300, 0.99))
        self.assertFalse(enough(299, 0.99))

    def test_bars(self):
        records = [load("haproxy", 0, 10), load("envoy", 0, 33.1), load("weft", 0, 11)]
        records += [load("haproxy", 0, 10, "2048 connections"), load("weft", 0, 12, "2048 connections")]
        verdicts = [bar.verdict for bar in bars(Records(records))]
        self.assertEqual(verdicts[:3], ["**missed**", "**missed**", "passed"])
        self.assertIn("1.20 at worst (2048 connections)", bars(Records(records))[0].measured)
        self.assertEqual(set(verdicts[3:]), {"not measured"})

    def test_a_case_in_which_the_proxy_fails_is_missed(self):
        records = [load("haproxy", 0, 10), load("weft", 0, 9)]
        records += [load("haproxy", 0, 10, "2048 connections"), load("weft", 0, 9, "2048 connections", failed=5000)]
        first = bars(Records(records))[0]
        self.assertEqual(first.verdict, "**missed**")
        self.assertIn("fails in 2048 connections", first.measured)

    def test_latency_is_judged_only_where_the_machine_was_quiet(self):
        records = [latencies(name, 0, [1000] * 1000) for name in ("direct", "haproxy", "weft")]
        for share, verdict in ((0.01, "passed"), (0.5, "not known: the machine was not quiet")):
            for record in records:
                record["disturbance"] = share
            found = {bar.name: bar.verdict for bar in bars(Records(records))}
            self.assertEqual(found["added p99 at 2,000/s ≤ haproxy's"], verdict)

    def test_access_control_is_judged_against_none(self):
        records = [
            {**load(target, number, cpu), "scenario": "access"}
            for target, cpu in (("none", 10), ("few", 10.5), ("many", 12))
            for number in range(3)
        ]
        found = {bar.name: bar for bar in bars(Records(records))}
        bar = found["access: CPU per request ≤ 1.10 × none's"]
        self.assertEqual((bar.measured, bar.verdict), ("1.20 at worst (many)", "**missed**"))

    def test_a_report_of_everything(self):
        records = [load("haproxy", 0, 10), load("weft", 0, 11)]
        records += [latencies("direct", 0, [1] * 1000), latencies("weft", 0, [2] * 1000)]
        records.append({"scenario": "memory", "case": "100 Services", "target": "weft", "rss": 2**20, "anonymous": 1})
        records.append({"scenario": "policies", "case": "c", "target": "nothing", "round": 0, "error": "refused"})
        machine = {"cpu": "some", "cpus": 2, "kernel": "6", "commit": "abc"}
        run = {"started": "now", "machine": machine, "versions": {}, "skipped": ["new"], "records": records}
        text = report(run)
        for part in ("| 32 connections | 10.0 | 11.0 |", "1.10", "1.0 MiB", "nothing, round 1: refused", "- new"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main()
