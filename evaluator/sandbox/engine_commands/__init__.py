"""Container engines as command lines: what podman and docker are called with, and what they answer."""
