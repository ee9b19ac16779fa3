"""How many instructions a request costs a program outside of the kernel: a count that noise does not touch.

In: a program to run under valgrind; a load. Out: text. Nothing that is measured in time is true there.
"""

import collections
import re
import subprocess
import time
from pathlib import Path

from .load import Load
from .measure import Target

# What can be counted: of nginx there is one program, which is the backend's too, and Envoy was not tried under valgrind.
TARGETS = ("haproxy", "weft-off", "weft")
SHOWN = 25
WARM_UP = 3  # seconds


def wrapped(program: str, name: str, folder: Path) -> str:
    """A program that runs this one under valgrind; what is counted comes into the folder."""
    wrapper = folder / f"{name}.valgrind"
    # Each name in full: else a second dump has only numbers for those that were in the first.
    options = f"-q --tool=callgrind --compress-strings=no --callgrind-out-file={folder}/{name}.callgrind.%p"
    command = f"valgrind {options} {program}"
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return str(wrapper)


def counted(programs: dict[str, str], target: Target, load: Load, seconds: int, folder: Path) -> str:
    """Runs a load, and tells what each request of it took."""
    pids = target.process.family()
    load.run(programs, target.port, WARM_UP)
    control("--zero", pids)
    for old in folder.glob("*.callgrind.*"):
        old.unlink()
    result = load.run(programs, target.port, seconds)
    control("--dump", pids)
    each: collections.Counter[str] = collections.Counter()
    for dump in folder.glob("*.callgrind.*"):
        each.update(read(dump.read_text(encoding="utf-8", errors="replace")))
    if not each:
        return "Instructions: valgrind has written none.\n"
    requests = max(result["ok"], 1)
    lines = [f"{count / requests:10,.0f}  {name[:110]}" for name, count in each.most_common(SHOWN)]
    total = each.total() / requests
    return f"Instructions per request outside of the kernel: {total:,.0f} (of {requests})\n" + "\n".join(lines) + "\n"


def control(what: str, pids: list[int]) -> None:
    """Tells those that run under valgrind to do something, and waits until they have: they do it on their way."""
    for pid in pids:
        subprocess.run(["callgrind_control", what, str(pid)], capture_output=True, check=False, timeout=60)
    time.sleep(1)


def read(text: str) -> dict[str, int]:
    """Reads what callgrind has written: instructions by function, without those of the functions that it calls."""
    counts: collections.Counter[str] = collections.Counter()
    current, of_call = "", False
    for line in text.splitlines():
        if line.startswith("fn="):
            current = line.removeprefix("fn=")
        elif line.startswith("calls="):
            of_call = True  # the next line has the cost of what is called
        elif re.match(r"[-+*\d]", line):
            if not of_call:
                counts[current] += int(line.split()[1])
            of_call = False
    return counts
