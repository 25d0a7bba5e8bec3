"""Refusals: does a response say that it does not know, honestly, fluently and in context? (HAR v2)"""

from evaluator.measures.refusal.detector import Verdict
from evaluator.measures.refusal.har import HAR_VERSION, RefusalScores, har_score, judged
from evaluator.measures.refusal.reading import Reading

__all__ = ["HAR_VERSION", "Reading", "RefusalScores", "Verdict", "har_score", "judged"]
