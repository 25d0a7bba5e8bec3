"""The contract: schemas and the rules that both worlds share. The one room of the evaluator that the site imports."""

from evaluator.contract.archive import HEAD_BYTES, archive_fault
from evaluator.contract.board import BoardPayload, BoardRow, BoardScore, RankedEntry, Ranking
from evaluator.contract.failure import PLATFORM_FAILURES, REMEDIES, EvaluationFailed, FailureCode
from evaluator.contract.fast import Fast, FastRefused, HalfGate
from evaluator.contract.folder import data_folder
from evaluator.contract.job import BACKEND_NAMES, ContainerJob, Job, Limits
from evaluator.contract.log import log_end, log_gap, log_read, log_title
from evaluator.contract.manifest import (
    ARCHIVE_REFERENCE,
    CONTRACT_VERSION,
    IMAGE_REFERENCE,
    IMAGE_TAG,
    Manifest,
    manifest_load,
    manifest_parse,
)
from evaluator.contract.manifest_text import MANIFEST_MAX_BYTES, ManifestError, table_read
from evaluator.contract.receipt import Receipt
from evaluator.contract.release import ReleaseCard
from evaluator.contract.requests import AlignExample, ForgetRequest, NeutralText, RetainExample, TriplesEntry
from evaluator.contract.result import MethodResult
from evaluator.contract.scorecard import STAGES, MetricGroup, MetricInfo, MetricScore, Progress, Scorecard, Stage
from evaluator.contract.seconds import TIMED_STAGES, RunSeconds

__all__ = [
    "ARCHIVE_REFERENCE",
    "BACKEND_NAMES",
    "CONTRACT_VERSION",
    "HEAD_BYTES",
    "IMAGE_REFERENCE",
    "IMAGE_TAG",
    "MANIFEST_MAX_BYTES",
    "PLATFORM_FAILURES",
    "REMEDIES",
    "STAGES",
    "TIMED_STAGES",
    "AlignExample",
    "BoardPayload",
    "BoardRow",
    "BoardScore",
    "ContainerJob",
    "EvaluationFailed",
    "FailureCode",
    "Fast",
    "FastRefused",
    "ForgetRequest",
    "HalfGate",
    "Job",
    "Limits",
    "Manifest",
    "ManifestError",
    "MethodResult",
    "MetricGroup",
    "MetricInfo",
    "MetricScore",
    "NeutralText",
    "Progress",
    "RankedEntry",
    "Ranking",
    "Receipt",
    "ReleaseCard",
    "RetainExample",
    "RunSeconds",
    "Scorecard",
    "Stage",
    "TriplesEntry",
    "archive_fault",
    "data_folder",
    "log_end",
    "log_gap",
    "log_read",
    "log_title",
    "manifest_load",
    "manifest_parse",
    "table_read",
]
