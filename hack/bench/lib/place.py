"""Where things are: folders, CPUs and ports.

In: nothing. Out: constants. Every port is on 127.0.0.1 and below the range from which clients get theirs.
"""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
OUTPUT = REPOSITORY / "target" / "bench" / "http"
TOOLS = REPOSITORY / "target" / "bench" / "tools"

# One core for what is measured; the other for what feeds it.
PROXY_CPU = 0
LOAD_CPU = 1

HOST = "127.0.0.1"
# The backend answers on several ports, which are the endpoints of a Service.
BACKENDS = 10
BACKEND_HTTP1 = 18100  # and the following ones
BACKEND_H2C = 18150  # and the following ones
HAPROXY = 18200
NGINX = 18210
ENVOY = 18220
WEFT_ADMIN = 18230
WEFT_DNS = 18231
WEFT = 18300  # one for each Service
SCALE = 20000  # one for each of up to 10,000 Services

# How many of the backend's ports a proxy balances over where peers are compared.
ENDPOINTS = 4


def addresses(first: int, count: int = ENDPOINTS) -> list[tuple[str, int]]:
    """The addresses of the first `count` endpoints."""
    return [(HOST, first + number) for number in range(count)]
