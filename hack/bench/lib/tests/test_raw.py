"""The benchmark of TCP and UDP: what the generator says, the bars, the report, and the configurations."""

import json
import unittest

from lib import weft
from lib.raw import peers, place
from lib.raw.bars import bars
from lib.raw.load import read
from lib.raw.report import report
from lib.statistics import Records


def record(scenario: str, case: str, target: str, rate: float, cpu: float, number: int = 0, **more) -> dict:
    """A record of a load."""
    found = {"scenario": scenario, "case": case, "target": target, "round": number, "ok": rate, "failed": 0}
    return {**found, "rate": rate, "cpu_us": cpu, "disturbance": 0.01, "load_cpu_share": 1.0, **more}


def idle(target: str, each: float) -> dict:
    """A record of connections that rest."""
    found = {"scenario": "idle", "case": "50,000 connections", "target": target, "connections": 50_000}
    return {**found, "rss": 2**20, "anonymous": 1, "per_connection": each}


def verdicts(records: list[dict]) -> dict[str, str]:
    """By the bar's name."""
    return {bar.name: bar.verdict for bar in bars(Records(records))}


class Raw(unittest.TestCase):
    """One for each part."""

    def test_what_the_generator_says(self):
        self.assertEqual(read('{"ok": 2.0, "failed": 0, "seconds": 1.0, "errors": {}}')["ok"], 2)
        self.assertAlmostEqual(read('{"ok": 90.0, "sent": 100, "failed": 0}')["loss"], 0.1)

    def test_bars_of_rates_are_the_least_and_of_costs_the_most(self):
        records = [record("bulk", "1 connection", "haproxy", 1000, 500), record("bulk", "1 connection", "weft", 999, 501)]
        self.assertEqual([bar.verdict for bar in bars(Records(records))][:2], ["**missed**", "**missed**"])
        records = [record("bulk", "1 connection", "haproxy", 1000, 500), record("bulk", "1 connection", "weft", 1000, 500)]
        self.assertEqual([bar.verdict for bar in bars(Records(records))][:2], ["passed", "passed"])

    def test_the_worst_case_decides(self):
        records = [record("udp", case, "nginx", 1000, 5) for case in ("a", "b")]
        records += [record("udp", "a", "weft", 2000, 5), record("udp", "b", "weft", 1000, 5)]
        found = bars(Records(records))[5]
        self.assertEqual(found.verdict, "**missed**", "as fast is not above")
        self.assertIn("1.00 at worst (b), 2.00 at best; clears 1 of 2 cases", found.measured)

    def test_a_kind_that_the_proxy_fails_is_missed(self):
        records = [record("udp", "a", "nginx", 1000, 5)]
        records.append({"scenario": "udp", "case": "a", "target": "weft", "error": "no request was answered"})
        self.assertEqual(verdicts(records)["udp: datagrams per second > 1.00 × nginx's"], "**missed**")

    def test_a_rate_that_is_the_clients_own_is_not_judged(self):
        records = [record("udp at a rate", "one way, 20,000/s", target, 20_000, 9, loss=0) for target in ("nginx", "weft")]
        self.assertEqual(set(verdicts(records).values()), {"not measured"})

    def test_memory_is_compared_with_the_least(self):
        name = "memory per idle connection < all others'"
        self.assertEqual(verdicts([idle("haproxy", 900), idle("nginx", 700), idle("weft", 699)])[name], "passed")
        self.assertEqual(verdicts([idle("haproxy", 900), idle("nginx", 700), idle("weft", 700)])[name], "**missed**")
        self.assertEqual(verdicts([idle("weft", 700)])[name], "not measured")

    def test_a_report_of_everything(self):
        records = [record("bulk", "1 connection", "direct", 4000, 1), record("bulk", "1 connection", "weft", 2000, 250)]
        records += [record("new", "32 at a time", "weft", 9000, 60), idle("weft", 812.4)]
        records += [record("udp", "one way, flood", "weft", 9000, 4, loss=0.125)]
        records += [record("udp at a rate", "one way, 20,000/s", "weft", 20_000, 9, loss=0.0025)]
        for number, more in ((0, 0), (1, 100)):
            for target, time in (("direct", 20), ("weft", 32)):
                quantiles = {"p50_us": time + more, "p99_us": time + more + 10}
                records.append(record("ping", "64 bytes", target, 1, 1, number, **quantiles))
        machine = {"cpu": "some", "cpus": 2, "kernel": "6", "commit": "abc"}
        run = {"started": "now", "machine": machine, "versions": {}, "skipped": [], "records": records}
        text = report(run)
        for part in (
            "| 1 connection | 4,000 | 2,000 |",
            "| 1 connection | 0.250 |",
            "| 64 bytes, p50 | 70.0 (20.0–120.0) | 12.0 (12.0–12.0) |",
            "| one way, flood | 12.50 |",
            "| one way, 20,000/s | 0.25 |",
            "| an idle connection, bytes | 812 |",
        ):
            self.assertIn(part, text)

    def test_every_proxy_has_every_kind_that_it_can_carry(self):
        self.assertIn(f"bind 127.0.0.1:{place.HAPROXY + place.FRESH} ", peers.haproxy_configuration())
        self.assertNotIn("datagrams", peers.haproxy_configuration())
        self.assertIn(f"listen 127.0.0.1:{place.NGINX + place.DATAGRAMS} udp;", peers.nginx_configuration())
        listeners = peers.envoy_configuration()["static_resources"]["listeners"]
        self.assertEqual([each["name"] for each in listeners], ["bulk", "echo", "fresh", "datagrams"])
        json.dumps(listeners)
        services = [weft.Service("bulk", protocol="tcp"), weft.Service("datagrams", protocol="udp")]
        ports = [each["ports"][0] for each in weft.configuration(services, place.WEFT)["services"]]
        self.assertEqual([port["transport"] for port in ports], ["tcp", "udp"])
        self.assertEqual([port["listener"] for port in ports], [
            {"port": place.WEFT, "protocol": "tcp"}, {"port": place.WEFT + 1, "protocol": "udp"}])


if __name__ == "__main__":
    unittest.main()
