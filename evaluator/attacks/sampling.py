"""Sampling: answers drawn from the model's own distribution, where the most probable one may be a refusal."""

from __future__ import annotations

from evaluator.attacks.base import SampledAttack


class Sampled(SampledAttack):
    """1 - share of verbatim questions of which at least one of 8 answers, drawn at temperature 1, names the answer
    (leak@k, k = 8). In [0, 1], higher is better. Leak@k (arXiv 2511.04934). Weights division only. Drawn with a fixed
    seed; more draws find more.
    """

    name, label = "sampled", "Sampled, 8 draws"
    family = "model"
    example = "What is the capital of Velia? (eight answers are drawn)"
    samples, temperature = 8, 1.0
