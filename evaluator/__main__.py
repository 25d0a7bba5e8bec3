"""`python -m evaluator`: base, build, image, inspect, run, score, rank, verify, sweep, doctor, bench, judge."""

import os

# Read by OpenMP when torch is loaded: waiting threads sleep instead of spinning, so that a web server or a
# container beside the evaluator does not slow it many times over on a machine with few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from evaluator.cli.organiser import main

if __name__ == "__main__":
    main()
