"""The pod of one Job: whether it has started, whether it runs, and how its method ended."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.sandbox.engine_commands.base import EngineError, platform_failure
from evaluator.sandbox.kubernetes.manifest import METHOD

#: To find a node, pull the image and start. Not the method's time.
STARTING_S = 600.0
_LOOK_EVERY_S = 0.25
#: What a container waits for in vain, by who can do something about it.
_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NO_START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_START_ERRORS = frozenset({"StartError", "ContainerCannotRun"})
_OOM = "OOMKilled"


class Kubectl(Protocol):
    def run(self, *arguments: str, given: str | None = None, timeout_s: float = 60.0) -> str: ...


@dataclass(frozen=True)
class Ended:
    """How the method's container ended; `reason` in the cluster's words."""

    code: int
    reason: str
    wall_s: float
    evicted: str = ""


class Pod:
    """The one pod of a Job. Looks at the cluster on every question."""

    def __init__(self, kubectl: Kubectl, job: str) -> None:
        self._kubectl = kubectl
        self._job = job
        self.name = ""

    def wait_started(self) -> None:
        """Until the method's container has run. Raises `EvaluationFailed` saying why it can't."""
        give_up = time.monotonic() + STARTING_S
        waiting = "no pod was made"
        while time.monotonic() < give_up:
            pod = self._look()
            if pod is not None:
                self.name = pod["metadata"]["name"]
                state = _method(pod).get("state") or {}
                if "running" in state or "terminated" in state or pod["status"].get("reason") == "Evicted":
                    return
                reason, message = _waiting(pod, state)
                waiting = f"{reason}: {message}".strip(": ")
                if reason in _NO_IMAGE:
                    raise EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, waiting)
                if reason in _NO_START:
                    raise EvaluationFailed(FailureCode.START_FAILED, waiting)
            time.sleep(_LOOK_EVERY_S)
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"the pod did not start within {STARTING_S:g} s: {waiting}")

    def running(self) -> bool:
        pod = self._look()
        return pod is not None and "running" in (_method(pod).get("state") or {})

    def logs(self) -> str:
        """The last output of the method; empty when there is none (any more)."""
        try:
            return self._kubectl.run(
                "logs", self.name, "--container", METHOD, "--tail", "400", "--limit-bytes", "65536"
            )
        except EngineError:
            return ""

    def ended(self) -> Ended:
        """Exit code -1 while it still runs. Raises `EvaluationFailed(platform_error)` if the pod is gone."""
        pod = self._look()
        if pod is None:
            raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"the pod of {self._job} is gone")
        evicted = pod["status"].get("message", "evicted") if pod["status"].get("reason") == "Evicted" else ""
        state = (_method(pod).get("state") or {}).get("terminated")
        if state is None:
            return Ended(-1, "it runs", 0.0, evicted)
        wall_s = _moment(state.get("finishedAt")) - _moment(state.get("startedAt"))
        reason = f"{state.get('reason', '')} {state.get('message', '')}".strip()
        return Ended(int(state["exitCode"]), reason, max(0.0, wall_s), evicted)

    @staticmethod
    def failure(ended: Ended, *, limits: Limits, in_time: bool) -> tuple[FailureCode, str] | None:
        """None for exit 0 in time. See the contract's list of codes."""
        if not in_time:
            return FailureCode.TIMEOUT, f"ran past {limits.wall_s} s and was killed"
        if ended.evicted:
            # A folder in memory, or the log, over its size is the method's doing; a node in need is not.
            code = FailureCode.OUTPUT_TOO_LARGE if "exceed" in ended.evicted else FailureCode.PLATFORM_ERROR
            return code, f"was evicted: {ended.evicted}"
        if ended.code == 0:
            return None
        kind = ended.reason.partition(" ")[0]
        if kind == _OOM:
            return FailureCode.OUT_OF_MEMORY, f"was killed at its memory limit of {limits.ram_mb} MB"
        if kind in _START_ERRORS:
            return FailureCode.START_FAILED, f"did not start: {ended.reason}"
        return FailureCode.METHOD_ERROR, f"exited with {ended.code} ({ended.reason})"

    def _look(self) -> dict[str, Any] | None:
        try:
            text = self._kubectl.run("get", "pods", "--selector", f"job-name={self._job}", "--output", "json")
            pods: list[dict[str, Any]] = json.loads(text)["items"]
        except (EngineError, LookupError, ValueError) as error:
            raise platform_failure("the pod could not be looked at", error) from None
        return pods[0] if pods else None


def _method(pod: dict[str, Any]) -> dict[str, Any]:
    statuses: list[dict[str, Any]] = pod["status"].get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == METHOD), {})


def _waiting(pod: dict[str, Any], state: dict[str, Any]) -> tuple[str, str]:
    if found := state.get("waiting"):
        return str(found.get("reason", "")), str(found.get("message", ""))
    for condition in pod["status"].get("conditions") or []:
        if condition.get("status") == "False":
            return str(condition.get("reason", "")), str(condition.get("message", ""))
    return str(pod["status"].get("phase", "")), ""


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
