"""The scenarios: what is measured on whom.

In: what was asked for. Out: records. A scenario starts what it needs, and all of it has ended when it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import backend, peers, place, weft
from .load import Load, h2load, openloop, wrk
from .measure import Case, Recorder, Target
from .process import Processes
from .statistics import ORDER

# "direct" is no proxy at all.
TARGETS = list(ORDER)


@dataclass
class Plan:
    """What was asked for."""

    targets: list[str]
    folder: Path
    rounds: int
    seconds: int
    quick: bool = False

    def fewer(self) -> tuple[int, int]:
        """Rounds and seconds of what is not at the centre, so that the whole fits its time."""
        return (1, 1) if self.quick else (max(self.rounds * 3 // 5, 1), max(self.seconds * 2 // 3, 1))


class Field:
    """The backend and all peers, running side by side; idle but for the one that is measured."""

    def __init__(self, processes: Processes, recorder: Recorder, plan: Plan):
        self.plan, self.recorder = plan, recorder
        self.folder = processes.folder
        programs = recorder.programs
        backend.start(processes, programs)
        self.running = {}
        for name, start, port in (
            ("haproxy", peers.haproxy, place.HAPROXY),
            ("nginx", peers.nginx, place.NGINX),
            ("envoy", peers.envoy, place.ENVOY),
        ):
            if name in plan.targets:
                process = start(processes, programs)
                self.running[name] = (process, port, port + peers.H2C)
        self.start_weft(processes, programs)

    def start_weft(self, processes: Processes, programs: dict[str, str]) -> None:
        """One process carries both Services: they never have traffic at once."""
        wanted = {"weft-off": weft.OFF, "weft": weft.DEFAULTS}
        wanted = {name: policy for name, policy in wanted.items() if name in self.plan.targets}
        if not wanted:
            return
        h2c = place.addresses(place.BACKEND_H2C)
        services = [weft.Service(name, policy) for name, policy in wanted.items()]
        services += [weft.Service(f"{name}-h2c", policy, "h2c", h2c) for name, policy in wanted.items()]
        process, ports = weft.start(processes, programs, services)
        for name in wanted:
            self.running[name] = (process, ports[name], ports[f"{name}-h2c"])

    def targets(self, h2c: bool = False) -> list[Target]:
        """Those that were asked for."""
        found = []
        for name in self.plan.targets:
            if name == "direct":
                found.append(Target(name, place.BACKEND_H2C if h2c else place.BACKEND_HTTP1))
            elif name in self.running:
                process, http1, http2 = self.running[name]
                found.append(Target(name, http2 if h2c else http1, process))
        return found

    def run(self, scenario: str, name: str, load: Load, central: bool = True, direct: bool = False) -> None:
        """Runs a case on all targets; `direct` measures the backend itself in each round."""
        rounds, seconds = (self.plan.rounds, self.plan.seconds) if central else self.plan.fewer()
        case = Case(scenario, name, load, self.targets(load.h2c), rounds, seconds)
        case.direct_rounds = rounds if direct else 1
        self.recorder.run(case)


def field(body: Callable[[Field], None]) -> Callable[[Recorder, Plan], None]:
    """A scenario on the whole field."""

    def run(recorder: Recorder, plan: Plan) -> None:
        with Processes(plan.folder) as processes:
            body(Field(processes, recorder, plan))

    return run


@field
def h1(these: Field) -> None:
    """HTTP/1.1 keep-alive."""
    bodies = ["0"] if these.plan.quick else ["0", "1k", "64k"]
    for connections in (32, 256, 2048):
        for body in bodies:
            central = connections == 32 and body != "64k"
            these.run("h1", f"{connections} connections, body {body}", wrk(connections, f"/{body}"), central)


@field
def new(these: Field) -> None:
    """A connection for each request."""
    these.run("new", "32 at a time, body 1k", wrk(32, "/1k", ("Connection: close",)))


@field
def h2c(these: Field) -> None:
    """HTTP/2 without TLS, to endpoints that speak it."""
    these.run("h2c", "8 connections, 16 streams, body 100", h2load(8, 16, "/100"))
    these.run("h2c", "32 connections, 1 stream, body 100", h2load(32, 1, "/100"))


@field
def grpc(these: Field) -> None:
    """gRPC calls: one message for one, and a hundred for one."""
    body = str(these.folder / "request.grpc")
    these.run("grpc", "unary, 8 connections, 16 streams", h2load(8, 16, "/grpc/Unary", body))
    these.run("grpc", "100 messages, 8 connections, 4 streams", h2load(8, 4, "/grpc/Stream", body))


@field
def latency(these: Field) -> None:
    """What a proxy adds at a fixed rate."""
    for rate in (20, 200, 2000):
        these.run("latency", f"{rate}/s", openloop(rate), direct=True)


def policies(recorder: Recorder, plan: Plan) -> None:
    """What each policy costs: Services of one weft-proxy that differ by a policy."""
    wanted = {"nothing": {}, **weft.POLICIES}
    services = [weft.Service(name.replace(" ", "-"), {**weft.OFF, **policy}) for name, policy in wanted.items()]
    services.append(weft.Service("all-defaults", weft.DEFAULTS))
    with Processes(plan.folder) as processes:
        backend.start(processes, recorder.programs)
        process, ports = weft.start(processes, recorder.programs, services)
        targets = [Target(name, port, process) for name, port in ports.items()]
        rounds, seconds = plan.fewer()
        load = wrk(32, "/1k", ("x-user: 4711",))
        recorder.run(Case("policies", "32 connections, body 1k", load, targets, rounds, seconds))


def access(recorder: Recorder, plan: Plan) -> None:
    """What access control costs a request, where much is granted."""
    rounds, seconds = plan.fewer()
    load = wrk(32, "/1k")
    variants = {"none": {}, **{name: weft.controlled(grants) for name, grants in weft.ACCESS.items()}}
    # A configuration is a whole proxy's, so they run one after the other, and each round starts them anew.
    for number in range(rounds):
        for name, more in variants.items():
            if recorder.over():
                recorder.skipped.append(f"access: from round {number + 1} on")
                return
            with Processes(plan.folder) as processes:
                backend.start(processes, recorder.programs)
                service = weft.Service("web", weft.DEFAULTS)
                process, ports = weft.start(processes, recorder.programs, [service], name="access", more=more)
                target = Target(name, ports["web"], process)
                case = Case("access", "32 connections, body 1k", load, [target], 1, seconds)
                if recorder.warm_up(case, target):
                    recorder.measure(case, target, number)


def services(recorder: Recorder, plan: Plan) -> None:
    """Whether the number of Services matters to a request: proxies that have more and more of them."""
    counts = (1, 100, 1000, 10_000)
    rounds, seconds = plan.fewer()
    load = wrk(32, "/1k")
    # One after the other, for they would share ports; each round starts them anew.
    for number in range(rounds):
        for count in counts:
            if recorder.over():
                recorder.skipped.append(f"services: from round {number + 1} on")
                return
            with Processes(plan.folder) as processes:
                backend.start(processes, recorder.programs)
                process, ports = weft.start(processes, recorder.programs, weft.many(count), place.SCALE, "scale")
                target = Target(str(count), ports["s00000"], process)
                case = Case("services", "32 connections, body 1k", load, [target], 1, seconds)
                if recorder.warm_up(case, target):
                    recorder.measure(case, target, number)
