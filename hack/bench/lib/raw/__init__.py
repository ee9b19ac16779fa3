"""The benchmark of TCP and UDP, on what it shares with that of HTTP."""
