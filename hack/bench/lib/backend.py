"""The backend that all proxies share: nginx, over HTTP/1.1 on some ports and h2c on others.

In: a folder. Out: the process. Its answers are in memory, so that it is faster than any proxy. As gRPC it answers with a
static message and a `grpc-status` trailer; a stream is a hundred messages, each in a DATA frame of its own.

`mirror` makes it read a request's body to the end before it answers, as gRPC servers do: otherwise it resets the stream
after the answer. Without `sendfile`, a head and a small body leave together: otherwise the body waits for the client's
delayed ACK.
"""

import struct
from pathlib import Path

from . import place
from .process import Process, Processes

MESSAGE = b"x" * 100
STREAMED = 100
BODIES = {"0": 0, "100": 100, "1k": 1024, "64k": 64 * 1024}


def grpc_message(payload: bytes) -> bytes:
    """A message as gRPC frames it: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(payload)) + payload


def configuration(root: Path) -> str:
    """The configuration of nginx."""
    def listen(first: int, option: str) -> str:
        addresses = place.addresses(first, place.BACKENDS)
        return "".join(f"listen {host}:{port} {option} backlog=4096;" for host, port in addresses)

    http1, h2c = listen(place.BACKEND_HTTP1, ""), listen(place.BACKEND_H2C, "http2")
    frame = len(grpc_message(MESSAGE))
    # Text in the configuration is quicker than a file.
    fixed = "".join(f'location = /{name} {{ return 200 "{"x" * BODIES[name]}"; }} ' for name in ("100", "1k"))
    locations = f"""
    root {root}; open_file_cache max=100; open_file_cache_valid 1h;
    location = /0 {{ return 200; }} {fixed}
    location = /nothing {{ internal; return 204; }}
    location /grpc/ {{
      mirror /nothing; default_type application/grpc; error_page 405 =200 $uri; add_trailer grpc-status 0; etag off;
      location = /grpc/Stream {{ error_page 405 =200 $uri; add_trailer grpc-status 0; http2_chunk_size {frame}; }}
    }}"""
    return f"""
daemon off; worker_processes 1; pid backend.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off; default_type text/plain; tcp_nodelay on; sendfile off;
  keepalive_timeout 600s; keepalive_requests 1000000000; http2_max_concurrent_streams 1024;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ {http1} {locations} }}
  server {{ {h2c} {locations} }}
}}
"""


def start(processes: Processes, programs: dict[str, str]) -> Process:
    """Starts it."""
    root = processes.folder / "files"
    (root / "grpc").mkdir(parents=True, exist_ok=True)
    for name, size in BODIES.items():
        (root / name).write_bytes(b"x" * size)
    (root / "grpc" / "Unary").write_bytes(grpc_message(MESSAGE))
    (root / "grpc" / "Stream").write_bytes(grpc_message(MESSAGE) * STREAMED)
    (processes.folder / "request.grpc").write_bytes(grpc_message(MESSAGE))
    path = processes.folder / "backend.conf"
    path.write_text(configuration(root))
    process = processes.start(
        "backend", [programs["nginx"], "-p", str(processes.folder), "-c", str(path)], place.LOAD_CPU
    )
    process.wait_for_port(place.BACKEND_HTTP1)
    process.wait_for_port(place.BACKEND_H2C)
    return process
