"""Fixtures of the container tests."""

from tests.evaluator.sandbox.containers import image, podman, spec

__all__ = ["image", "podman", "spec"]
