"""Fixtures of the container tests, and the image of the hostile programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.sandbox import PodmanSandbox
from tests.evaluator.sandbox.containers import docker, image, podman, probe_image, registry, runsc, sandbox, spec

__all__ = ["docker", "image", "podman", "registry", "runsc", "sandbox", "spec"]


@pytest.fixture(scope="session")
def intruder(podman: PodmanSandbox) -> str:
    """An image of `intruder/` that also declares a volume."""
    return probe_image(
        podman.home,
        "intruder",
        Path(__file__).with_name("intruder"),
        entrypoint=("/usr/bin/python3", "/opt/palimpsest/intruder/entry.py"),
        volumes=("/data",),
    )
