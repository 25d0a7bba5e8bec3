"""`python -m evaluator.cli.palimpsest` is `palimpsest`."""

from evaluator.cli.palimpsest.app import app, main

__all__ = ["app"]

if __name__ == "__main__":
    main()
