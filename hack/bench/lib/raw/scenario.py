"""The scenarios: what is measured on whom.

In: what was asked for. Out: records. A scenario starts what it needs, and all of it has ended when it returns.
"""

from collections.abc import Callable

from .. import weft
from ..measure import Case, Recorder, Target
from ..process import Process, Processes
from ..scenario import Plan
from . import peers, place
from .load import Load, bulk as bulk_load, datagrams, fresh, ping as ping_load, serve

# "direct" is no proxy at all.
TARGETS = ["direct", "haproxy", "nginx", "envoy", "weft"]


def start_weft(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts weft-proxy with a Service of each kind, every policy at its default."""

    def service(kind: int) -> weft.Service:
        protocol = "udp" if kind == place.DATAGRAMS else "tcp"
        return weft.Service(place.NAMES[kind], endpoints=place.addresses(kind), protocol=protocol)

    services = [service(kind) for kind in place.NAMES]
    return weft.start(processes, programs, services, place.WEFT)[0]


STARTS = {
    "haproxy": (peers.haproxy, place.HAPROXY),
    "nginx": (peers.nginx, place.NGINX),
    "envoy": (peers.envoy, place.ENVOY),
    "weft": (start_weft, place.WEFT),
}


class Field:
    """The server and all peers, running side by side; idle but for the one that is measured."""

    def __init__(self, processes: Processes, recorder: Recorder, plan: Plan):
        self.plan, self.recorder = plan, recorder
        serve(processes, recorder.programs)
        self.running = {
            name: start(processes, recorder.programs) for name, (start, _) in STARTS.items() if name in plan.targets
        }

    def targets(self, kind: int) -> list[Target]:
        """Those that were asked for and carry this kind."""
        found = []
        for name in self.plan.targets:
            if name == "direct":
                found.append(Target(name, place.BACKENDS[kind]))
            elif (name, kind) != ("haproxy", place.DATAGRAMS):
                found.append(Target(name, STARTS[name][1] + kind, self.running[name]))
        return found

    def run(self, scenario: str, name: str, load: Load, central: bool = True, direct: bool = False) -> None:
        """Runs a case on all targets; `direct` measures no proxy in each round."""
        rounds, seconds = (self.plan.rounds, self.plan.seconds) if central else self.plan.fewer()
        case = Case(scenario, name, load, self.targets(load.kind), rounds, seconds)
        case.direct_rounds = rounds if direct else 1
        self.recorder.run(case)


def field(body: Callable[[Field], None]) -> Callable[[Recorder, Plan], None]:
    """A scenario on the whole field."""

    def run(recorder: Recorder, plan: Plan) -> None:
        with Processes(plan.folder) as processes:
            body(Field(processes, recorder, plan))

    return run


@field
def bulk(these: Field) -> None:
    """As much as goes through."""
    for connections in (1, 16, 256):
        these.run("bulk", f"{connections} connection{'s' if connections > 1 else ''}", bulk_load(connections))


@field
def new(these: Field) -> None:
    """A connection for each exchange."""
    these.run("new", "32 at a time", fresh(32))


@field
def ping(these: Field) -> None:
    """What a proxy adds to an exchange."""
    these.run("ping", "64 bytes", ping_load(), direct=True)


@field
def udp(these: Field) -> None:
    """Datagrams: sent back, and one way, as many as come through; and at a rate, whose loss and cost alone say something."""
    these.run("udp", "to and fro, 16 clients of 16", datagrams("--under-way", "16"))
    these.run("udp at a rate", "one way, 20,000/s", datagrams("--rate", "20000"), central=False)
    these.run("udp", "one way, flood", datagrams())
