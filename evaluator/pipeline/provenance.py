"""What a receipt says about where and with what a run was made."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import evaluator

_PACKAGES = ("torch", "transformers", "lm-eval", "numpy", "tokenizers", "safetensors")


@cache
def evaluator_sha256() -> str:
    """SHA-256 over (path, SHA-256) of every source and task file of this package: the evaluator's own digest."""
    root = Path(evaluator.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.suffix in {".py", ".yaml", ".toml", ".json"}):
        digest.update(f"{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes: Python and the packages that a score depends on."""
    found = {"python": platform.python_version(), "evaluator": evaluator.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware(threads: int) -> dict[str, Any]:
    """Processor, cores, memory in MB and threads used; no host name."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        "machine": platform.machine(),
        "processor": model,
        "cores": os.cpu_count() or 0,
        "memory_mb": memory,
        "threads": threads,
    }
