"""The two command lines: `palimpsest` for submitters, `python -m evaluator` (organiser) for organisers and the site."""
