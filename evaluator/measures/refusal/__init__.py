"""Refusals: does a response say that it does not know, honestly, fluently and in context? (HAR v2)"""

from evaluator.measures.refusal.har import HAR_VERSION, RefusalScores, har_score

__all__ = ["HAR_VERSION", "RefusalScores", "har_score"]
