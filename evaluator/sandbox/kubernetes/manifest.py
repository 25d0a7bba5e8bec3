"""What a run asks of a Kubernetes cluster, as pure functions: one Job a stage, and the policy that isolates pods."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import flags
from evaluator.sandbox.protocol import ContainerSpec, Mount

Manifest = dict[str, Any]

METHOD, RELAY = "method", "relay"
#: A finished Job goes by itself after this, should nobody be left to remove it.
KEPT_S = 600
#: Logs and whatever else the node keeps for a pod; what a method writes lies in memory or on the claim.
_NODE_DISK_MB = 128
_RELAY_MB = 64

_PREFIX = "PALIMPSEST_K8S_"


@dataclass(frozen=True)
class Cluster:
    """Where in a cluster methods run. Each field is the environment variable `PALIMPSEST_K8S_<FIELD>`."""

    namespace: str = "palimpsest-methods"
    claim: str = ""  # a volume claim of that namespace that many pods may mount (ReadWriteMany)
    claim_path: str = ""  # where the same volume is mounted for the evaluator; the data folder lies in it
    runtime_class: str = ""  # e.g. gvisor or kata
    seccomp: str = ""  # a profile that every node has, below its seccomp folder; empty: the runtime's default
    relay_image: str = ""  # any image with python3, by digest: carries a server's socket to the evaluator

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Cluster:
        values = {name: environment.get(f"{_PREFIX}{name.upper()}") for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in values.items() if value})

    def unset(self) -> list[str]:
        """What must be set and is not, as sentences."""
        needed = {
            "claim": "the volume claim (ReadWriteMany) that holds the data folder",
            "claim_path": "the folder where that volume is mounted here",
            "relay_image": "an image with python3, as NAME@sha256:<digest>, to reach servers through",
        }
        return [
            f"{_PREFIX}{name.upper()} is not set: name {what}"
            for name, what in needed.items()
            if not getattr(self, name)
        ]

    def sub_path(self, folder: Path) -> str:
        """Where on the claim a folder of this machine lies. Raises `EvaluationFailed(platform_error)`."""
        try:
            return str(folder.resolve().relative_to(Path(self.claim_path).resolve()))
        except ValueError:
            problem = f"{folder} does not lie in {_PREFIX}CLAIM_PATH={self.claim_path}: put PALIMPSEST_HOME there"
            raise EvaluationFailed(FailureCode.PLATFORM_ERROR, problem) from None


def run_key(home_key: str, run_id: str) -> str:
    """A run's name for labels, which are stricter than run ids."""
    return hashlib.sha256(f"{home_key}\0{run_id}".encode()).hexdigest()[:16]


def job_name(home_key: str, spec: ContainerSpec) -> str:
    return f"palimpsest-{run_key(home_key, spec.run_id)}-{spec.role}"


def network_policy() -> Manifest:
    """No traffic into and out of any method's pod. The cluster's network plugin has to enforce policies."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "palimpsest-methods"},
        "spec": {
            "podSelector": {"matchExpressions": [{"key": flags.LABEL_ROLE, "operator": "Exists"}]},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def job(
    spec: ContainerSpec, cluster: Cluster, *, home_key: str, output: Path | None, deadline: float, lifetime_s: int
) -> Manifest:
    """One stage as a Job. `output` is the folder of an `unlearn` stage; a `serve` stage has a socket and a relay.

    Raises `EvaluationFailed(platform_error)` for a folder that is not on the claim.
    """
    labels = {
        flags.LABEL_HOME: home_key,
        flags.LABEL_RUN: run_key(home_key, spec.run_id),
        flags.LABEL_ROLE: spec.role,
    }
    places = {"tmp": (flags.TMP, spec.limits.tmp_mb), "shm": ("/dev/shm", spec.limits.shm_mb)}  # nosec B108 # inside the pod
    mounts = list(spec.mounts)
    if output is not None:
        mounts.append(Mount(output, flags.OUT, read_only=False))
    else:
        places["socket"] = (flags.SOCKET_FOLDER, 1)
    containers = [_method(spec, cluster, mounts, places)]
    if output is None:
        containers.append(_relay(cluster))
    pod: Manifest = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": lifetime_s,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostname": "sandbox",
        # The cluster's own names and servers are none of a method's business.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": _seccomp(cluster),
        },
        "containers": containers,
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": cluster.claim}},
            *(_memory(name, size_mb) for name, (_, size_mb) in places.items()),
        ],
    }
    if cluster.runtime_class:
        pod["runtimeClassName"] = cluster.runtime_class
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(home_key, spec),
            "labels": {**labels, flags.LABEL_DEADLINE: str(int(deadline))},
            "annotations": {"palimpsest.run-id": spec.run_id},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": lifetime_s,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


_USER = int(flags.USER.partition(":")[0])
_CONFINED: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}


def _method(
    spec: ContainerSpec, cluster: Cluster, mounts: list[Mount], places: Mapping[str, tuple[str, int]]
) -> Manifest:
    limits = spec.limits
    return {
        "name": METHOD,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(spec.args),
        "env": [{"name": name, "value": value} for name, value in sorted(flags.container_environment(spec).items())],
        "securityContext": _CONFINED,
        "resources": _resources(cpu=f"{limits.cpus:g}", memory_mb=limits.ram_mb),
        "volumeMounts": [
            *(
                {
                    "name": "claim",
                    "mountPath": mount.target,
                    "subPath": cluster.sub_path(mount.source),
                    "readOnly": mount.read_only,
                }
                for mount in mounts
            ),
            *({"name": name, "mountPath": target} for name, (target, _) in places.items()),
        ],
    }


def _relay(cluster: Cluster) -> Manifest:
    """A container of ours beside the server: it sleeps, and is there to be entered by `kubectl exec`."""
    return {
        "name": RELAY,
        "image": cluster.relay_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import time; time.sleep(10**8)"],
        "securityContext": _CONFINED,
        "resources": _resources(cpu="100m", memory_mb=_RELAY_MB),
        "volumeMounts": [{"name": "socket", "mountPath": flags.SOCKET_FOLDER}],
    }


def _resources(*, cpu: str, memory_mb: int) -> Manifest:
    """Asked for and capped alike, so that a node never promises what it has not got."""
    amounts = {"cpu": cpu, "memory": f"{memory_mb}Mi", "ephemeral-storage": f"{_NODE_DISK_MB}Mi"}
    return {"requests": amounts, "limits": amounts}


def _memory(name: str, size_mb: int) -> Manifest:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": f"{size_mb}Mi"}}


def _seccomp(cluster: Cluster) -> Manifest:
    if cluster.seccomp:
        return {"type": "Localhost", "localhostProfile": cluster.seccomp}
    return {"type": "RuntimeDefault"}
