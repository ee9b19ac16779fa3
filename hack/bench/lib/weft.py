"""weft-proxy, standalone: its configuration comes from a file instead of from a cluster.

In: Services with their policies. Out: the process, and the port of each Service.
"""

import json
import time
import urllib.request
from dataclasses import dataclass, field

from . import place
from .process import Process, Processes

# Nothing on: what carrying a request costs by itself.
OFF = {
    "balancing": {"algorithm": "round-robin", "slowStart": 0},
    "retry": {"attempts": 1},
    "timeouts": {"idle": None},
    "outlier": {"consecutive": 0, "successPercent": 0},
    "bulkhead": {"service": 0, "source": 0, "endpoint": 0, "queue": 0},
}
DEFAULTS: dict = {}

# One policy at a time on top of nothing. A limit is there to be checked, not to be reached.
MUCH = 1_000_000_000
POLICIES = {
    "nothing again": {},  # how much two measurements of the same differ
    "p2c-ewma": {"balancing": {"algorithm": "p2c-ewma", "slowStart": 0}},
    "slow start": {"balancing": {"algorithm": "round-robin"}},
    "hash by header": {"balancing": {"algorithm": {"hash": {"header": "x-user"}}, "slowStart": 0}},
    "sticky cookie": {"balancing": {"algorithm": "round-robin", "sticky": {"name": "bench"}, "slowStart": 0}},
    "outlier ejection": {"outlier": {}},
    "retries": {"retry": {"attempts": 3, "on": {"gatewayError": True}}},
    "timeouts": {"timeouts": {"request": 15_000, "perTry": 5_000, "idle": 60_000}},
    "circuit breaker": {"circuitBreaker": "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 1000"},
    "rate limit": {"rateLimit": {"average": MUCH, "burst": MUCH}},
    "bulkheads": {"bulkhead": {"service": 10_000, "source": 10_000, "endpoint": 10_000}},
    "header changes": {
        "actions": {
            "requestHeaders": [{"set": ["x-mesh", "weft"]}, {"remove": "x-user"}],
            "responseHeaders": [{"set": ["x-mesh", "weft"]}],
        }
    },
}


@dataclass
class Service:
    """A Service to be carried."""

    name: str
    policy: dict = field(default_factory=dict)
    scheme: str = "http"
    endpoints: list[tuple[str, int]] = field(default_factory=lambda: place.addresses(place.BACKEND_HTTP1))
    protocol: str = "http"


def configuration(services: list[Service], first: int) -> dict:
    """The node's configuration; Services get the ports from `first` on, in their order."""
    ordered = sorted(services, key=lambda service: service.name)
    ports = {service.name: first + number for number, service in enumerate(services)}
    return {
        "schema": 2,
        "node": "bench",
        "zones": ["mesh"],
        "services": [
            {
                "namespace": "bench",
                "name": service.name,
                "addresses": [f"10.96.{number // 250}.{number % 250 + 1}"],
                "ports": [
                    {
                        "name": service.protocol,
                        "port": 80,
                        "transport": "udp" if service.protocol == "udp" else "tcp",
                        "listener": {"port": ports[service.name], "protocol": service.protocol},
                        "scheme": service.scheme,
                        "endpoints": [{"address": host, "port": port} for host, port in service.endpoints],
                    }
                ],
                "policy": service.policy,
            }
            for number, service in enumerate(ordered)
        ],
    }


def many(count: int, endpoints: int = 10) -> list[Service]:
    """As many Services; the first one's endpoints are the backend, with all policies at their defaults."""
    others = [
        Service(f"s{n:05}", endpoints=[(f"10.{n // 250 + 1}.{n % 250}.{e + 1}", 8080) for e in range(endpoints)])
        for n in range(1, count)
    ]
    return [Service("s00000", endpoints=place.addresses(place.BACKEND_HTTP1, endpoints)), *others]


def account(name: str) -> dict:
    """A principal of access control."""
    return {"kind": "ServiceAccount", "namespace": "bench", "name": name}


def controlled(grants: list[dict]) -> dict:
    """Access control with these grants, of 10,000 pods besides the client and the backend, which are one to it."""
    pods = [(f"10.{n // 62_500 + 1}.{n // 250 % 250}.{n % 250 + 1}", f"pod-{n:05}") for n in range(10_000)]
    pods.append((place.HOST, "bench"))
    pods.sort(key=lambda pod: [int(part) for part in pod[0].split(".")])
    sources = [{"address": address, "namespace": "bench", "serviceAccount": name} for address, name in pods]
    return {"schema": 2, "sources": sources, "access": {"mode": "enforce", "grants": grants}}


def grant(number: int, sources: list[str], matches: list[dict]) -> dict:
    """What a TrafficTarget grants."""
    name, sources = f"target-{number:04}", [account(source) for source in sources]
    return {"namespace": "bench", "name": name, "destination": account("bench"), "sources": sources, "http": matches}


def thousand_targets() -> list[dict]:
    """A thousand TrafficTargets with ten sources and a route each; the last one lets the client through."""
    grants = []
    for number in range(1000):
        sources = [f"pod-{number * 10 + each:05}" for each in range(10)]
        path = {"path": f"/route-{number:04}/[^/]+"}
        grants.append(grant(number, sources, [path]))
    grants[-1] = grant(999, [f"pod-{9990 + each:05}" for each in range(9)] + ["bench"], [{"path": "/1k"}])
    return grants


def thousand_routes(pattern: str, last: str) -> list[dict]:
    """A TrafficTarget with a thousand routes, of which the last one lets the client through."""
    return [grant(0, ["bench"], [{"path": pattern.format(number)} for number in range(999)] + [{"path": last}])]


# Each against none.
ACCESS = {
    "1,000 targets of 10 sources": thousand_targets(),
    "1,000 routes": thousand_routes("/route-{:04}/[0-9]+$", "/1[a-z]$"),
    "1,000 routes that begin anyhow": thousand_routes(".*/route-{:04}$", ".*k$"),
}


def start(
    processes: Processes,
    programs: dict[str, str],
    services: list[Service],
    first: int = place.WEFT,
    name: str = "weft",
    more: dict | None = None,
) -> tuple[Process, dict[str, int]]:
    """Starts it; returns once every Service is served, with the port of each. `more` of a configuration goes first."""
    path = processes.folder / f"{name}.json"
    path.write_text(json.dumps({**configuration(services, first), **(more or {})}))
    state = processes.folder / f"{name}.state"
    state.mkdir(exist_ok=True)
    for left in state.iterdir():
        left.unlink()
    command = [programs["weft"], "--node", "bench", "--configuration-file", str(path), "--workers", "1"]
    command += ["--admin-address", f"{place.HOST}:{place.WEFT_ADMIN}"]
    command += ["--dns-address", f"{place.HOST}:{place.WEFT_DNS}"]
    command += ["--state-directory", str(state), "--idle-timeout", "10m", "--log", "warn"]
    process = processes.start(name, command, place.PROXY_CPU)
    wait_until_ready(process)
    return process, {service.name: first + number for number, service in enumerate(services)}


def wait_until_ready(process: Process, patience: float = 60.0) -> None:
    """Returns once it says that it is ready."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"http://{place.HOST}:{place.WEFT_ADMIN}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:  # urllib's errors are
            pass
        process.demand_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"weft-proxy does not become ready: {process.last_words()}")
        time.sleep(0.05)
