"""Where things are: the folder, and the ports.

In: nothing. Out: constants. Each proxy has a port for each kind of load, at the same distance from its first.
"""

from .. import place

OUTPUT = place.REPOSITORY / "target" / "bench" / "l4"

# The kinds of load, and how far the port of each is from a proxy's first.
BULK, ECHO, FRESH, DATAGRAMS = 0, 1, 2, 3
TCP = (BULK, ECHO, FRESH)
NAMES = {BULK: "bulk", ECHO: "echo", FRESH: "fresh", DATAGRAMS: "datagrams"}

# Of the server: the first port of each kind, and the following ones.
BACKENDS = {BULK: 18600, ECHO: 18610, FRESH: 18620, DATAGRAMS: 18630}
COUNT = 18640
HAPROXY = 18700
NGINX = 18710
ENVOY = 18720
WEFT = 18730
DIRECT = 18600


def addresses(kind: int) -> list[tuple[str, int]]:
    """The endpoints of a kind."""
    return place.addresses(BACKENDS[kind])
