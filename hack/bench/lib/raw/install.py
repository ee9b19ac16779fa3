"""What the benchmark of TCP and UDP needs.

In: nothing. Out: the paths of the programs; what is missing is installed as for HTTP.
"""

import os
import shutil
import sys
from pathlib import Path

from ..install import apt, cargo, envoy

PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light"}
# What lets nginx carry what is not HTTP.
STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def programs(targets: set[str], weft: str | None) -> dict[str, str]:
    """Every program that a run over `targets` needs; `weft` is a weft-proxy that was built already."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    needed = sorted(set(PACKAGES) & targets)
    missing = [PACKAGES[name] for name in needed if not shutil.which(name, path=path)]
    if "nginx" in targets and not STREAM.exists():
        missing.append("libnginx-mod-stream")
    if missing:
        apt(missing)
    found = {name: shutil.which(name, path=path) or sys.exit(f"bench: no {name}") for name in needed}
    if "envoy" in targets:
        found["envoy"] = str(envoy())
    build = ["weft-rawload"] + (["weft-proxy"] if weft is None and "weft" in targets else [])
    folder = cargo(build)
    found["rawload"] = str(folder / "weft-rawload")
    if "weft" in targets:
        found["weft"] = str(Path(weft).resolve() if weft else folder / "weft-proxy")
        if not Path(found["weft"]).exists():
            sys.exit(f"bench: no {found['weft']}")
    return found
