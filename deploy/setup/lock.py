"""Rewrites constraints.txt: resolves every extra with plain pip, and keeps names and public versions only."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = "eval,prod,dev"
HEAD = (
    f"# Every package of `.[{EXTRAS}]`, pinned, for CPython 3.11 on Linux x86-64. "
    "Used with plain pip: pip install -c constraints.txt\n"
    '# How to renew it: docs/development.md, "Changing a dependency".\n'
)


def lines_make(report: dict[str, object]) -> list[str]:
    """`name==version` lines, sorted, of a pip installation report, without this project and without local labels."""
    pins: dict[str, str] = {}
    for item in report["install"]:  # type: ignore[attr-defined]
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        # A local label (2.13.0+cpu) names a build that other machines may not have.
        pins[name] = item["metadata"]["version"].split("+")[0]
    pins.pop("palimpsest", None)
    return [f"{name}=={version}\n" for name, version in sorted(pins.items())]


def main() -> int:
    """Exit status 0 when the file was written, else pip's."""
    parser = argparse.ArgumentParser(prog="python -m deploy.setup.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="forget the present pins and take the newest releases")
    upgrade = parser.parse_args().upgrade
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", str(report), f"{ROOT}[{EXTRAS}]"]
        command += [] if upgrade else ["--constraint", str(CONSTRAINTS)]
        status = subprocess.run(command, check=False).returncode
        if status:
            return status
        CONSTRAINTS.write_text(HEAD + "".join(lines_make(json.loads(report.read_text()))))
    print(f"wrote {CONSTRAINTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
