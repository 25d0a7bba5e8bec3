"""The evaluator: turns (benchmark release, method image, seed) into a trace, a scorecard and a signed receipt.

It knows nothing of the site: no Django, no database, no submitter. Importing this package loads no torch.
"""

__version__ = "0.7.0"
