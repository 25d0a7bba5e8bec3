"""Fixtures of the container tests."""

from tests.evaluator.sandbox.containers import image, podman, registry, spec

__all__ = ["image", "podman", "registry", "spec"]
