"""`python -m evaluator.client` is `palimpsest`."""

from evaluator.client.app import app, main

__all__ = ["app"]

if __name__ == "__main__":
    main()
