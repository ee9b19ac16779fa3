"""The bars that the proxy is held to with TCP and UDP, and whether it clears them.

In: records. Out: for each bar what was measured, and passed, missed or not measured.
"""

from ..bars import Bar, ratio_bar, verdict
from ..statistics import Records

PEERS = ("haproxy", "nginx", "envoy")


def rate(records: Records, scenario: str, what: str, other: str, least: float, strictly: bool = False) -> Bar:
    """How much came through in a second, against another proxy's."""
    return ratio_bar(records, scenario, "rate", what, other, least, at_least=True, strictly=strictly)


def idle(records: Records) -> Bar:
    """The memory of a connection that rests, against everybody's."""
    name = "memory per idle connection < all others'"
    each = {}
    for case in records.cases("idle"):
        for target in records.targets("idle"):
            value = records.value("idle", case, target, "per_connection")
            if value is not None:
                each[target] = value
    others = {target: value for target, value in each.items() if target != "weft"}
    if "weft" not in each or not others:
        return Bar(name, "", "not measured")
    text = f"{each['weft']:,.0f} B against " + ", ".join(f"{target}'s {value:,.0f} B" for target, value in others.items())
    text += "".join(f"; {target} was not measured" for target in PEERS if target not in each)
    return Bar(name, text, verdict(each["weft"] < min(others.values())))


def bars(records: Records) -> list[Bar]:
    """All of them."""
    return [
        rate(records, "bulk", "throughput", "haproxy", 1.0),
        ratio_bar(records, "bulk", "cpu_us", "CPU per GB", "haproxy", 1.0),
        rate(records, "new", "connections per second", "haproxy", 0.9),
        rate(records, "new", "connections per second", "envoy", 1.0, strictly=True),
        idle(records),
        rate(records, "udp", "datagrams per second", "nginx", 1.0, strictly=True),
        rate(records, "udp", "datagrams per second", "envoy", 1.0, strictly=True),
    ]
