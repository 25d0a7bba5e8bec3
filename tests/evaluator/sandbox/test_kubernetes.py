"""One Job a stage: what it asks of the cluster, and how its end is told. No cluster is at hand: a stand-in answers."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.sandbox import ContainerSpec, KubernetesSandbox, Mount, PodmanSandbox, Progressed, Role, flags
from evaluator.sandbox.health import UnixConnection
from evaluator.sandbox.kubernetes import backend as kubernetes
from evaluator.sandbox.kubernetes.manifest import Cluster, job, network_policy
from evaluator.sandbox.kubernetes.pod import Ended, Pod
from tests.evaluator.sandbox.containers import MANIFEST, probe_image

HERE = Path(__file__).parent
IMAGE = "registry.example/team/probe@sha256:" + "1" * 64
LIMITS = Limits(wall_s=20, ram_mb=256, out_mb=4, out_files=20, tmp_mb=16, shm_mb=8)
CLUSTER = Cluster(claim="data", claim_path="/claim", runtime_class="gvisor", relay_image=IMAGE)


def spec_for(claim: Path, *arguments: str, role: Role = "unlearn", image: str = IMAGE, **limits: Any) -> ContainerSpec:
    mounts = (Mount(claim / "in", "/in"), Mount(claim / "base", "/in/base"))
    if role == "serve":
        mounts = (Mount(claim / "state", "/state"), Mount(claim / "base", "/base"))
    args = (role, *arguments)
    return ContainerSpec("Run_1.a-", role, image, args, mounts, {}, LIMITS.model_copy(update=limits), 1)


def rendered(role: Role, cluster: Cluster = CLUSTER) -> dict[str, Any]:
    output = Path("/claim/runs/1/out") if role == "unlearn" else None
    spec = spec_for(Path("/claim"), role=role)
    return job(spec, cluster, home_key="0123456789abcdef", output=output, deadline=1e9, lifetime_s=50)


@pytest.mark.parametrize("role", ["unlearn", "serve"])
def test_what_is_applied_keeps_to_the_published_schema(role: Role) -> None:
    for manifest in (rendered(role), network_policy()):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("role", ["unlearn", "serve"])
def test_a_pod_keeps_to_the_restricted_standard_and_more(role: Role) -> None:
    made = rendered(role)
    pod = made["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["dnsPolicy"] == "None"
    assert pod["restartPolicy"] == "Never"
    assert pod["runtimeClassName"] == "gvisor"
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "serviceAccountName"} & pod.keys()
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} == {"persistentVolumeClaim", "emptyDir"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert container["resources"]["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_a_job_is_tried_once_and_ends_by_itself() -> None:
    asked = rendered("unlearn")["spec"]
    assert (asked["backoffLimit"], asked["activeDeadlineSeconds"]) == (0, 50)
    assert asked["template"]["spec"]["activeDeadlineSeconds"] == 50
    assert asked["ttlSecondsAfterFinished"] > 0


def test_a_method_writes_to_its_output_and_to_sized_memory_alone() -> None:
    pod = rendered("unlearn")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert {path: mount.get("subPath") for path, mount in mounts.items() if not mount.get("readOnly")} == {
        "/out": "runs/1/out",
        "/tmp": None,
        "/dev/shm": None,
    }
    assert (mounts["/in"]["subPath"], mounts["/in/base"]["subPath"]) == ("in", "base")
    sizes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume}
    assert sizes["tmp"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    assert sizes["shm"] == {"medium": "Memory", "sizeLimit": "8Mi"}


def test_a_server_sees_no_requests_and_its_relay_sees_the_socket_alone() -> None:
    method, relay = rendered("serve")["spec"]["template"]["spec"]["containers"]
    assert {mount["mountPath"] for mount in method["volumeMounts"] if "subPath" in mount} == {"/state", "/base"}
    assert all(mount["readOnly"] for mount in method["volumeMounts"] if "subPath" in mount)
    assert [mount["mountPath"] for mount in relay["volumeMounts"]] == ["/run/palimpsest"]
    assert {"name": "PALIMPSEST_SOCKET", "value": "/run/palimpsest/api.sock"} in method["env"]


def test_no_traffic_is_allowed_to_or_from_any_pod_of_a_method() -> None:
    asked = network_policy()["spec"]
    assert asked["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & asked.keys()
    chosen = asked["podSelector"]["matchExpressions"][0]
    assert chosen == {"key": flags.LABEL_ROLE, "operator": "Exists"}
    for role in ("unlearn", "serve"):
        assert flags.LABEL_ROLE in rendered(role)["spec"]["template"]["metadata"]["labels"]


def test_a_profile_of_the_nodes_and_no_runtime_class_can_be_asked_for() -> None:
    pod = rendered("unlearn", Cluster(claim="data", claim_path="/claim", seccomp="palimpsest.json"))
    pod = pod["spec"]["template"]["spec"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "Localhost", "localhostProfile": "palimpsest.json"}
    assert "runtimeClassName" not in pod


def test_a_folder_outside_the_claim_is_our_failure() -> None:
    with pytest.raises(EvaluationFailed, match="PALIMPSEST_HOME") as caught:
        job(spec_for(Path("/else")), CLUSTER, home_key="0", output=None, deadline=1, lifetime_s=1)
    assert caught.value.code is FailureCode.PLATFORM_ERROR


@pytest.mark.parametrize(
    ("ended", "in_time", "failure"),
    [
        (Ended(0, "Completed", 1.0), True, None),
        (Ended(1, "Error", 1.0), True, FailureCode.METHOD_ERROR),
        (Ended(137, "OOMKilled", 1.0), True, FailureCode.OUT_OF_MEMORY),
        (Ended(137, "Error", 1.0), True, FailureCode.METHOD_ERROR),
        (Ended(128, "StartError exec: not found", 0.0), True, FailureCode.START_FAILED),
        (Ended(-1, "it runs", 0.0), False, FailureCode.TIMEOUT),
        (Ended(137, "", 1.0, 'Usage of EmptyDir volume "tmp" exceeds'), True, FailureCode.OUTPUT_TOO_LARGE),
        (Ended(137, "", 1.0, "Container exceeded its local ephemeral storage"), True, FailureCode.OUTPUT_TOO_LARGE),
        (Ended(137, "", 1.0, "The node was low on resource: ephemeral-storage"), True, FailureCode.PLATFORM_ERROR),
    ],
)
def test_each_end_of_a_pod_has_its_code(ended: Ended, in_time: bool, failure: FailureCode | None) -> None:
    found = Pod.failure(ended, limits=LIMITS, in_time=in_time)
    assert (found[0] if found else None) is failure


# ---------------------------------------------------------------- against the stand-in


class Stand:
    """A claim, a `kubectl` on PATH that plays the cluster, and the backend that uses both."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.folder, self.claim = folder, folder / "claim"
        for name in ("in/base", "base", "state"):
            (self.claim / name).mkdir(parents=True)
        (self.claim / "state" / "index.json").write_text("{}")
        (folder / "bin").mkdir()
        kubectl = folder / "bin" / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/cluster/kubectl.py "$@"\n')
        kubectl.chmod(0o755)
        probe = [sys.executable, str(HERE / "probe" / "entry.py")]
        config = {"claim_path": str(self.claim), "images": {IMAGE: probe}, **settings}
        (folder / "cluster").mkdir()
        (folder / "cluster" / "config").write_text(json.dumps(config))
        monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
        monkeypatch.setenv("KUBECONFIG", str(folder / "cluster" / "config"))
        monkeypatch.setenv("PALIMPSEST_K8S_CLAIM", "data")
        monkeypatch.setenv("PALIMPSEST_K8S_CLAIM_PATH", str(self.claim))
        monkeypatch.setenv("PALIMPSEST_K8S_RELAY_IMAGE", IMAGE)
        self.sandbox = KubernetesSandbox(self.claim)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "cluster" / "calls").read_text().splitlines()]

    def jobs(self) -> list[Path]:
        return list((self.folder / "cluster" / "jobs").iterdir())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: the path of a unix socket may have some hundred characters at most."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
def stand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(folder, monkeypatch)


def test_a_stage_is_a_job_whose_output_comes_over_the_claim(stand: Stand) -> None:
    spec, seen = spec_for(stand.claim, "write", "a.txt", "hello"), list[Progressed]()
    with stand.sandbox.unlearn(
        spec, scratch=stand.claim / "scratch", log=stand.folder / "run.log", on_progress=seen.append
    ) as ended:
        assert (ended.code, ended.failure) == (0, None), ended.detail
        assert (ended.out_dir / "a.txt").read_text() == "hello"
    assert not ended.out_dir.exists()
    assert stand.jobs() == []
    applied = json.loads((stand.folder / "cluster" / "applied-Job.json").read_text())
    assert applied["metadata"]["annotations"] == {"palimpsest.run-id": spec.run_id}
    assert (stand.folder / "cluster" / "applied-NetworkPolicy.json").is_file()
    assert {call[0] for call in stand.calls()} == {"palimpsest-methods"}


@pytest.mark.parametrize(
    ("arguments", "limits", "failure"),
    [
        (("leave", "3"), {}, FailureCode.METHOD_ERROR),
        (("sleep",), {"wall_s": 1}, FailureCode.TIMEOUT),
        (("disk",), {"out_mb": 2}, FailureCode.OUTPUT_TOO_LARGE),
        (("files",), {"out_files": 10}, FailureCode.OUTPUT_TOO_LARGE),
    ],
)
def test_a_bad_end_has_its_code_and_leaves_no_job(
    stand: Stand,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    limits: dict[str, Any],
    failure: FailureCode,
) -> None:
    monkeypatch.setattr(kubernetes, "_SIZE_EVERY_S", 0.05)
    spec = spec_for(stand.claim, *arguments, **limits)
    with stand.sandbox.unlearn(spec, scratch=stand.claim / "scratch", log=stand.folder / "run.log") as ended:
        assert ended.failure is failure, ended.detail
    assert stand.jobs() == []


def test_an_image_that_the_nodes_cannot_get_is_unavailable(stand: Stand) -> None:
    spec = spec_for(stand.claim, "say", image=IMAGE.replace("1", "2"))
    with (
        pytest.raises(EvaluationFailed, match="ErrImagePull") as caught,
        stand.sandbox.unlearn(spec, scratch=stand.claim / "scratch", log=stand.folder / "run.log"),
    ):
        pass
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE
    assert stand.jobs() == []


def test_a_server_in_a_pod_is_reached_over_a_socket_of_this_machine(stand: Stand) -> None:
    spec = spec_for(stand.claim, "serve", role="serve")
    with stand.sandbox.serve(spec, scratch=stand.claim / "scratch", log=stand.folder / "serve.log") as server:
        for _ in range(2):
            connection = UnixConnection(server.socket, 5.0)
            connection.request("GET", "/")
            assert json.loads(connection.getresponse().read()) == {"state": ["index.json"]}
            connection.close()
        assert server.alive()
        assert "GET" in server.log_tail()
    assert stand.jobs() == []
    assert not server.socket.exists()


def test_a_server_that_ends_is_not_ready(stand: Stand) -> None:
    spec = spec_for(stand.claim, "leave", "2", role="serve")
    with (
        pytest.raises(EvaluationFailed, match="about to leave") as caught,
        stand.sandbox.serve(spec, scratch=stand.claim / "scratch", log=stand.folder / "l", ready_s=20),
    ):
        pass
    assert caught.value.code is FailureCode.SERVER_NOT_READY
    assert stand.jobs() == []


def test_what_a_crash_left_is_swept_by_run_or_when_it_is_past_its_deadline(stand: Stand) -> None:
    spec, sandbox = spec_for(stand.claim, "sleep"), stand.sandbox
    for deadline in (time.time() + 100, time.time() - 1):
        made = job(spec, sandbox.cluster, home_key=sandbox.home_key, output=None, deadline=deadline, lifetime_s=9)
        sandbox.run("apply", "--filename", "-", given=json.dumps({"items": [made]}))
        old = deadline < time.time()
        assert sandbox.sweep() == int(old)
        assert sandbox.sweep("another-run") == 0
        assert sandbox.sweep(spec.run_id) == int(not old)
        assert stand.jobs() == []


@pytest.mark.container
def test_an_image_is_judged_by_its_registrys_word_and_is_not_brought_here(podman: PodmanSandbox, registry: str) -> None:
    bad = probe_image(podman.home, "probe-root", user="0", entrypoint=())
    podman.engine.run("push", "--quiet", "--tls-verify=false", bad.removeprefix("sha256:"), f"{registry}/team/x:1")
    report = KubernetesSandbox(podman.home).inspect(f"{registry}/team/x:1", MANIFEST)
    assert report.image.startswith(f"{registry}/team/x@sha256:")
    assert {problem["field"] for problem in report.problems} == {"user", "entrypoint"}
    for reference in (bad, "archive@" + bad):
        with pytest.raises(EvaluationFailed, match="is in no registry"):
            KubernetesSandbox(podman.home).inspect(reference, MANIFEST)


def test_it_is_ready_when_settings_rights_and_runtime_class_are_there(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stand.folder / "bin" / "skopeo").symlink_to("/usr/bin/true")
    assert stand.sandbox.check() == []
    assert stand.sandbox.describe()["engine"] == "kubernetes v0-stand-in"
    assert "PALIMPSEST_HOME" in KubernetesSandbox(stand.folder).check()[0]


def test_what_is_missing_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = "\n".join(KubernetesSandbox(tmp_path).check())
    for word in ("PALIMPSEST_K8S_CLAIM is", "PALIMPSEST_K8S_CLAIM_PATH is", "`kubectl` is not installed"):
        assert word in found


@pytest.mark.parametrize(
    ("refuse", "said"), [("auth", "deploy/kubernetes/methods"), ("runtimeclass", "no runtime class")]
)
def test_a_cluster_that_refuses_is_told_from_a_missing_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refuse: str, said: str
) -> None:
    monkeypatch.setenv("PALIMPSEST_K8S_RUNTIME_CLASS", "gvisor")
    stand = Stand(folder, monkeypatch, refuse=[refuse])
    (stand.folder / "bin" / "skopeo").symlink_to("/usr/bin/true")
    assert any(said in line for line in stand.sandbox.check())
