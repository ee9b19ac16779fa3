"""The proxies to compare with, each set up as one would for speed: one thread, upstream connections kept, no logs.

In: a folder. Out: the processes. Each listens on a port for HTTP/1.1 and on the next for h2c, balances over the same
endpoints in turn, and adds X-Forwarded-For, as a mesh must.
"""

import json

from . import place
from .process import Process, Processes

H2C = 1  # added to a proxy's port
ENVOY_TYPES = "type.googleapis.com/envoy.extensions"


def haproxy_configuration(extra: str = "", descriptors: int = 20000) -> str:
    """The configuration of HAProxy; `extra` is more of it."""
    def servers(first: int, option: str) -> str:
        return "\n".join(
            f"  server s{number} {host}:{port} {option}" for number, (host, port) in enumerate(place.addresses(first))
        )

    return f"""
global
  nbthread 1
  maxconn {max(descriptors // 2 + 2000, 12000)}
  no strict-limits
defaults
  mode http
  http-reuse always
  option forwardfor
  balance roundrobin
  timeout connect 1s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend http1
  bind {place.HOST}:{place.HAPROXY} backlog 4096
  default_backend http1
backend http1
{servers(place.BACKEND_HTTP1, "")}
frontend h2c
  bind {place.HOST}:{place.HAPROXY + H2C} proto h2 backlog 4096
  default_backend h2c
backend h2c
{servers(place.BACKEND_H2C, "proto h2")}
{extra}"""


def haproxy(processes: Processes, programs: dict[str, str], extra: str = "") -> Process:
    """Starts HAProxy, without a master."""
    path = processes.folder / "haproxy.cfg"
    path.write_text(haproxy_configuration(extra))
    process = processes.start("haproxy", [programs["haproxy"], "-db", "-f", str(path)], place.PROXY_CPU)
    process.wait_for_port(place.HAPROXY)
    return process


def haproxy_services(count: int, endpoints: int) -> str:
    """As many more Services, for the memory that they take."""
    parts = []
    for number in range(count):
        servers = "\n".join(f"  server s{n} 10.1.{number % 250}.{n + 1}:8080" for n in range(endpoints))
        parts.append(
            f"frontend f{number}\n  bind {place.HOST}:{place.SCALE + number}\n  default_backend b{number}\n"
            f"backend b{number}\n{servers}\n"
        )
    return "".join(parts)


def nginx_configuration() -> str:
    """The configuration of nginx as a proxy. Over h2c it knows no upstream but as gRPC, which is plain HTTP/2 to it."""
    def upstream(name: str, first: int) -> str:
        servers = "".join(f"server {host}:{port}; " for host, port in place.addresses(first))
        return f"upstream {name} {{ {servers}keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 600s; }}"

    return f"""
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off; tcp_nodelay on;
  keepalive_timeout 600s; keepalive_requests 1000000000; http2_max_concurrent_streams 1024;
  client_body_temp_path n1; proxy_temp_path n2; fastcgi_temp_path n3; uwsgi_temp_path n4; scgi_temp_path n5;
  {upstream("http1", place.BACKEND_HTTP1)}
  {upstream("h2c", place.BACKEND_H2C)}
  server {{
    listen {place.HOST}:{place.NGINX} backlog=4096;
    location / {{
      proxy_pass http://http1; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_max_temp_file_size 0; proxy_read_timeout 600s;
    }}
  }}
  server {{
    listen {place.HOST}:{place.NGINX + H2C} http2 backlog=4096;
    location / {{ grpc_pass grpc://h2c; grpc_set_header X-Forwarded-For $remote_addr; grpc_read_timeout 600s; }}
  }}
}}
"""


def nginx(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts nginx."""
    path = processes.folder / "nginx.conf"
    path.write_text(nginx_configuration())
    command = [programs["nginx"], "-p", str(processes.folder), "-c", str(path)]
    process = processes.start("nginx", command, place.PROXY_CPU)
    process.wait_for_port(place.NGINX)
    return process


def envoy_configuration() -> dict:
    """The configuration of Envoy."""
    def socket(host: str, port: int) -> dict:
        return {"socket_address": {"address": host, "port_value": port}}

    def listener(name: str, port: int) -> dict:
        manager = {
            "@type": f"{ENVOY_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            "generate_request_id": False,
            "use_remote_address": True,
            "http2_protocol_options": {"max_concurrent_streams": 1024},
            "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}]}]},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": f"{ENVOY_TYPES}.filters.http.router.v3.Router",
                "suppress_envoy_headers": True}}],
        }
        filters = [{"name": "http", "typed_config": manager}]
        return {"name": name, "address": socket(place.HOST, port), "tcp_backlog_size": 4096,
                "filter_chains": [{"filters": filters}]}

    def cluster(name: str, first: int, protocol: dict) -> dict:
        most = {"max_connections": 1000000, "max_pending_requests": 1000000, "max_requests": 1000000}
        endpoints = [{"endpoint": {"address": socket(host, port)}} for host, port in place.addresses(first)]
        options = {"@type": f"{ENVOY_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                   "explicit_http_config": protocol}
        return {"name": name, "type": "STATIC", "connect_timeout": "1s", "lb_policy": "ROUND_ROBIN",
                "circuit_breakers": {"thresholds": [most]},
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}}

    return {"static_resources": {
        "listeners": [listener("http1", place.ENVOY), listener("h2c", place.ENVOY + H2C)],
        "clusters": [cluster("http1", place.BACKEND_HTTP1, {"http_protocol_options": {}}),
                     cluster("h2c", place.BACKEND_H2C, {"http2_protocol_options": {}})]}}


def envoy(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts Envoy."""
    path = processes.folder / "envoy.json"
    path.write_text(json.dumps(envoy_configuration(), indent=1))
    command = [programs["envoy"], "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    process = processes.start("envoy", command, place.PROXY_CPU)
    process.wait_for_port(place.ENVOY)
    return process
