"""Answers: does a text name an answer, as it stands or in disguise? The ground of leak and correctness."""

from evaluator.answers.names import names_answer, names_exactly, normalise

__all__ = ["names_answer", "names_exactly", "normalise"]
