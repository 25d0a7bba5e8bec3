"""The closed list of failure codes: the only diagnosis that a run on a hidden split gives."""

from __future__ import annotations

from enum import StrEnum


class FailureCode(StrEnum):
    IMAGE_REFUSED = "image_refused"
    IMAGE_UNAVAILABLE = "image_unavailable"
    START_FAILED = "start_failed"
    METHOD_ERROR = "method_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_MANY_PROCESSES = "too_many_processes"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_TOO_LARGE = "output_too_large"
    OUTPUT_REFUSED = "output_refused"
    BASE_MISMATCH = "base_mismatch"
    NOT_FINITE = "not_finite"
    SERVER_NOT_READY = "server_not_ready"
    SERVER_NOT_CONFORMANT = "server_not_conformant"
    SERVER_DIED = "server_died"
    PLATFORM_ERROR = "platform_error"


#: What each code means and what its receiver can do about it, in one sentence each.
REMEDIES: dict[FailureCode, str] = {
    FailureCode.IMAGE_REFUSED: "The image breaks a rule of the contract; its inspection report lists every reason.",
    FailureCode.IMAGE_UNAVAILABLE: "The image digest could not be found; push or load the image and submit again.",
    FailureCode.START_FAILED: "The container did not start; check that the entrypoint exists and runs as non-root.",
    FailureCode.METHOD_ERROR: "The method exited with a non-zero status; run `palimpsest try` to see its output.",
    FailureCode.TIMEOUT: "The method ran past its wall-clock limit; make it faster or ask for fewer steps.",
    FailureCode.OUT_OF_MEMORY: "The method used more memory than its limit; lower the batch size.",
    FailureCode.TOO_MANY_PROCESSES: "The method reached its limit of processes; start fewer workers or threads.",
    FailureCode.OUTPUT_MISSING: "The method left no valid result.json with the files that it names.",
    FailureCode.OUTPUT_TOO_LARGE: "The output is larger than its limit; write only the tensors that changed.",
    FailureCode.OUTPUT_REFUSED: "The output holds what the contract does not allow (a link, a wrong name or shape).",
    FailureCode.BASE_MISMATCH: "The result names another base model than the one that the job gave.",
    FailureCode.NOT_FINITE: "A tensor holds NaN or infinity; check the learning rate and the solver.",
    FailureCode.SERVER_NOT_READY: "GET /health did not answer 200 in time.",
    FailureCode.SERVER_NOT_CONFORMANT: "The server broke the protocol; run `palimpsest try` for the check.",
    FailureCode.SERVER_DIED: "The server stopped answering during the measurement.",
    FailureCode.PLATFORM_ERROR: "The platform failed, not the method; the run is repeated and costs no quota.",
}

#: Failures of ours: retried (bounded), free of quota. All others are the method's and are not retried.
PLATFORM_FAILURES = frozenset({FailureCode.PLATFORM_ERROR})


class EvaluationFailed(Exception):
    """A run that ends without a scorecard.

    `detail` may quote the method's own output or hidden data: it is for organisers (and, on a public
    split, for the submitter); only `code` may leave a hidden run.
    """

    def __init__(self, code: FailureCode, detail: str = "") -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value)
        self.code = code
        self.detail = detail
