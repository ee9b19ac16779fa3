"""The cases of the differential corpus.

In: *.toml beside this file. Out: cases. A character there is a byte, up to U+00FF.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Case:
    """What is sent, what the backend answers each request, and why a peer differs from us."""

    name: str
    request: bytes
    answer: bytes
    differs: dict[str, str]


def read() -> list[Case]:
    """All cases, in the order of the files."""
    cases = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["case"]:
            unknown = set(entry) - {"name", "request", "answer", "differs"}
            unknown |= set(entry.get("differs", {})) - {"haproxy", "nginx"}
            if unknown:
                raise ValueError(f"{path}: {entry.get('name')}: {', '.join(sorted(unknown))}")
            answer = entry.get("answer", ANSWER).encode("latin-1")
            cases.append(Case(entry["name"], entry["request"].encode("latin-1"), answer, entry.get("differs", {})))
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two cases named {name}")
    return cases
