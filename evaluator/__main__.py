"""`python -m evaluator`: base, build, image, inspect, run, score, rank, verify, sweep, bench."""

from evaluator.commands import main

if __name__ == "__main__":
    main()
