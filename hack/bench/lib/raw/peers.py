"""The proxies to compare with, carrying TCP and UDP, each set up as one would for speed: one thread, no logs.

In: a folder. Out: the processes. Each listens on a port for each kind of load, balances over the same endpoints in turn, and
closes no connection that rests.
"""

import json

from .. import place as shared
from ..process import Process, Processes
from . import install, place

# More than any scenario opens, on both sides.
CONNECTIONS = 120_000
ENVOY_TYPES = "type.googleapis.com/envoy.extensions"


def haproxy_configuration() -> str:
    """The configuration of HAProxy. It carries no UDP."""

    def service(kind: int) -> str:
        servers = "\n".join(f"  server s{n} {host}:{port}" for n, (host, port) in enumerate(place.addresses(kind)))
        name = place.NAMES[kind]
        bind = f"{shared.HOST}:{place.HAPROXY + kind}"
        # Where much goes through, always, which takes less CPU than to find out; a little is cheaper to copy.
        splice = "\n".join(f"  option splice-{way}" for way in (("request", "response") if kind == place.BULK else ("auto",)))
        return (
            f"frontend {name}\n{splice}\n  bind {bind} backlog 4096\n  default_backend {name}\n"
            f"backend {name}\n{splice}\n{servers}\n"
        )

    return f"""
global
  nbthread 1
  maxconn {CONNECTIONS // 2}
  no strict-limits
defaults
  mode tcp
  balance roundrobin
  timeout connect 1s
  timeout client 600s
  timeout server 600s
{"".join(service(kind) for kind in place.TCP)}"""


def haproxy(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts HAProxy, without a master."""
    path = processes.folder / "haproxy.cfg"
    path.write_text(haproxy_configuration())
    process = processes.start("haproxy", [programs["haproxy"], "-db", "-f", str(path)], shared.PROXY_CPU)
    process.wait_for_port(place.HAPROXY)
    return process


def nginx_configuration() -> str:
    """The configuration of nginx."""

    def service(kind: int) -> str:
        servers = "".join(f"server {host}:{port}; " for host, port in place.addresses(kind))
        options = "udp" if kind == place.DATAGRAMS else "backlog=4096"
        # A session of UDP is kept as long as weft's own.
        rest = "30s" if kind == place.DATAGRAMS else "600s"
        name, listen = place.NAMES[kind], f"{shared.HOST}:{place.NGINX + kind}"
        return f"""
  upstream {name} {{ {servers} }}
  server {{ listen {listen} {options}; proxy_pass {name}; proxy_timeout {rest}; proxy_connect_timeout 1s;
    proxy_half_close {"off" if kind == place.DATAGRAMS else "on"}; }}"""

    return f"""
load_module {install.STREAM};
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile {CONNECTIONS};
events {{ worker_connections {CONNECTIONS}; }}
stream {{
  access_log off; tcp_nodelay on;
  {"".join(service(kind) for kind in place.NAMES)}
}}
"""


def nginx(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts nginx."""
    path = processes.folder / "nginx.conf"
    path.write_text(nginx_configuration())
    command = [programs["nginx"], "-p", str(processes.folder), "-c", str(path)]
    process = processes.start("nginx", command, shared.PROXY_CPU)
    process.wait_for_port(place.NGINX)
    return process


def envoy_address(host: str, port: int, protocol: str = "TCP") -> dict:
    """An address as Envoy writes it."""
    return {"socket_address": {"address": host, "port_value": port, "protocol": protocol}}


def envoy_listener(kind: int) -> dict:
    """A listener for a kind of load."""
    name, port = place.NAMES[kind], place.ENVOY + kind
    if kind == place.DATAGRAMS:
        udp = f"{ENVOY_TYPES}.filters.udp.udp_proxy.v3"
        action = {"name": "route", "typed_config": {"@type": f"{udp}.Route", "cluster": name}}
        proxy = {"@type": f"{udp}.UdpProxyConfig", "stat_prefix": name, "idle_timeout": "30s",
                 "matcher": {"on_no_match": {"action": action}}}
        return {"name": name, "address": envoy_address(shared.HOST, port, "UDP"),
                "listener_filters": [{"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}]}
    proxy = {"@type": f"{ENVOY_TYPES}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name,
             "idle_timeout": "600s"}
    return {"name": name, "address": envoy_address(shared.HOST, port), "tcp_backlog_size": 4096,
            "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}]}


def envoy_configuration() -> dict:
    """The configuration of Envoy."""

    def cluster(kind: int) -> dict:
        most = {"max_connections": 1000000, "max_pending_requests": 1000000, "max_requests": 1000000}
        endpoints = [{"endpoint": {"address": envoy_address(host, port)}} for host, port in place.addresses(kind)]
        return {"name": place.NAMES[kind], "type": "STATIC", "connect_timeout": "1s", "lb_policy": "ROUND_ROBIN",
                "circuit_breakers": {"thresholds": [most]},
                "load_assignment": {"cluster_name": place.NAMES[kind], "endpoints": [{"lb_endpoints": endpoints}]}}

    return {"static_resources": {"listeners": [envoy_listener(kind) for kind in place.NAMES],
                                 "clusters": [cluster(kind) for kind in place.NAMES]}}


def envoy(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts Envoy."""
    path = processes.folder / "envoy.json"
    path.write_text(json.dumps(envoy_configuration(), indent=1))
    command = [programs["envoy"], "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    process = processes.start("envoy", command, shared.PROXY_CPU)
    process.wait_for_port(place.ENVOY)
    return process
