"""A network of the benchmark's own.

In: nothing. Out: this process, and all that it starts, in a network namespace with nothing in it but loopback: no rules of
a cluster's on the way of packets, no connections of others in its tables, and every port free.
"""

import fcntl
import socket
import struct

from ..install import say
from ..process import LIBC

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# In the kernel's `struct ifreq`: a name of 16 bytes, then the flags.
REQUEST = "16sH22x"


def own() -> None:
    """Moves into one; without the right to, everything stays where it is."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        say("no network namespace of its own: rules of this machine's network are measured too")
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(REQUEST, b"lo", 0)
        _, flags = struct.unpack(REQUEST, fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack(REQUEST, b"lo", flags | IFF_UP))
