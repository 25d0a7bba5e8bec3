"""Fixtures of the container tests."""

from tests.evaluator.sandbox.containers import docker, image, podman, registry, runsc, sandbox, spec

__all__ = ["docker", "image", "podman", "registry", "runsc", "sandbox", "spec"]
