"""The `palimpsest` command: what submitters use. It imports neither Django nor torch."""
