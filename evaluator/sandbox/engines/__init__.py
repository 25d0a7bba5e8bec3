"""The backends whose containers an engine of this machine runs: podman under runc or gVisor, and docker."""
