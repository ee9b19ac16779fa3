"""What the load generators and perf print is read."""

import unittest

from lib import instructions
from lib.load import read_h2load, read_wrk
from lib.profile import read_counts

WRK = """Running 3s test @ http://127.0.0.1:18200/0
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   344.51us  193.80us   9.20ms   96.06%
    Req/Sec    93.72k     3.16k   98.51k    83.87%
  288977 requests in 3.10s, 40.78MB read
"""
WRK_ERRORS = """  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
"""
H2LOAD = """finished in 1.01s, 36663.00 req/s, 7.10MB/s
requests: 36663 total, 36791 started, 36663 done, 36660 succeeded, 3 failed, 1 errored, 0 timeout
status codes: 36660 2xx, 0 3xx, 2 4xx, 0 5xx
"""

CALLGRIND = """events: Ir
summary: 60

fl=???
fn=poll
0 10
cfn=memcpy
calls=3 0
0 45
+2 5

fn=memcpy
* 30
fn=poll
12 15
"""


class Parsers(unittest.TestCase):
    """One for each format."""

    def test_wrk(self):
        self.assertEqual(read_wrk(WRK), {"ok": 288977, "failed": 0, "seconds": 3.1})
        self.assertEqual(read_wrk(WRK + WRK_ERRORS), {"ok": 288972, "failed": 15, "seconds": 3.1})
        self.assertAlmostEqual(read_wrk("7 requests in 1.50m, 1MB read")["seconds"], 90)
        with self.assertRaises(RuntimeError):
            read_wrk("unable to connect to 127.0.0.1:1 Connection refused")

    def test_h2load(self):
        self.assertEqual(read_h2load(H2LOAD), {"ok": 36660, "failed": 3, "seconds": 1.01})
        self.assertAlmostEqual(read_h2load(H2LOAD.replace("1.01s", "998.20ms"))["seconds"], 0.9982)
        with self.assertRaises(RuntimeError):
            read_h2load("")

    def test_perf_stat(self):
        text = "1200;;raw_syscalls:sys_enter;100;100.00;;\n<not counted>;;syscalls:sys_enter_read;0;0.00;;\n\n"
        self.assertEqual(read_counts(text), {"raw_syscalls:sys_enter": 1200})

    def test_callgrind(self):
        self.assertEqual(instructions.read(CALLGRIND), {"poll": 30, "memcpy": 30})


if __name__ == "__main__":
    unittest.main()
