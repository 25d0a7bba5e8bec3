"""The backend with Kubernetes: one Job a stage, by `kubectl`; files go over a claim that the evaluator mounts too."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evaluator.contract import IMAGE_REFERENCE, IMAGE_TAG, EvaluationFailed, FailureCode, Manifest
from evaluator.sandbox import flags
from evaluator.sandbox.admission import ImageRefused, image_judge
from evaluator.sandbox.engine_commands.base import EngineError, platform_failure
from evaluator.sandbox.engine_commands.podman import PodmanEngine
from evaluator.sandbox.health import health_wait
from evaluator.sandbox.images.registry import configuration_announced, image_announced, tag_resolve, unavailable
from evaluator.sandbox.kubernetes import manifest as manifests
from evaluator.sandbox.kubernetes.pod import STARTING_S, Pod
from evaluator.sandbox.kubernetes.relay import PROGRAM, Relay
from evaluator.sandbox.mounts import mounts_check, owner_key
from evaluator.sandbox.output import Output, detail, follow, log_path
from evaluator.sandbox.parent_watch import ParentWatch
from evaluator.sandbox.protocol import (
    ContainerExit,
    ContainerSpec,
    ImageReport,
    ProgressCallback,
    Server,
    ServerHandle,
    ignore_progress,
)

#: What kubectl sees of the caller's environment.
_PASSED = ("PATH", "HOME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "NO_PROXY")
_SIZE_EVERY_S = 1.0
_MB = 1 << 20


class KubernetesSandbox:
    """See `protocol.Sandbox`. `home`, the data folder, must lie on the claim; see `kubernetes_manifest.Cluster`."""

    name = "kubernetes"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.cluster = manifests.Cluster.from_environment()
        self.home_key = owner_key(home, "", "unlearn")

    # ------------------------------------------------------------ kubectl

    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in _PASSED if name in os.environ}

    def command(self, *arguments: str) -> list[str]:
        return ["kubectl", "--namespace", self.cluster.namespace, *arguments]

    def run(self, *arguments: str, given: str | None = None, timeout_s: float = 60.0) -> str:
        """What kubectl prints. Raises `EngineError`."""
        command = self.command(*arguments)
        try:
            done = subprocess.run(
                command,
                env=self.environment(),
                input=given if given is not None else "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise EngineError(command, 127, "kubectl is not installed") from None
        except subprocess.TimeoutExpired:
            raise EngineError(command, 124, f"no answer within {timeout_s:g} s") from None
        if done.returncode != 0:
            raise EngineError(command, done.returncode, done.stderr or done.stdout)
        return done.stdout

    # ------------------------------------------------------------ the protocol

    def check(self) -> list[str]:
        found = self.cluster.unset()
        for program, package in (("kubectl", "kubernetes-client"), ("skopeo", "skopeo")):
            if shutil.which(program) is None:
                found.append(f"`{program}` is not installed: apt-get install --no-install-recommends {package}")
        if found:
            return found
        try:
            self.cluster.sub_path(self.home)
        except EvaluationFailed as failure:
            found.append(failure.detail)
        for verb, what in (
            ("create", "jobs.batch"),
            ("create", "networkpolicies.networking.k8s.io"),
            ("get", "pods/log"),
        ):
            try:
                self.run("auth", "can-i", verb, what)
            except EngineError as error:
                rights = "apply deploy/kubernetes/methods and bind the evaluator's account to its role"
                return [*found, f"`kubectl auth can-i {verb} {what}` says no ({error.output}): {rights}"]
        if self.cluster.runtime_class:
            try:
                self.run("get", "runtimeclass", self.cluster.runtime_class)
            except EngineError:
                problem = f"the cluster has no runtime class {self.cluster.runtime_class}"
                found.append(f"{problem}: install it, or change PALIMPSEST_K8S_RUNTIME_CLASS")
        return found

    def inspect(self, image: str, manifest: Manifest) -> ImageReport:
        """By the registry's word alone: the nodes pull the image themselves, by the same digest."""
        engine = PodmanEngine(self.home)  # its environment is what skopeo is called in
        if IMAGE_TAG.match(image):
            image = tag_resolve(engine, image)
        if not IMAGE_REFERENCE.match(image) or image.startswith(("sha256:", "archive@")):
            raise unavailable(image, "is in no registry, where the nodes could get it: name it as NAME@sha256:<digest>")
        try:
            announced = image_announced(engine, image)
        except ImageRefused as refusal:
            return ImageReport(ok=False, image=image, image_id="", problems=refusal.problems)
        configuration = configuration_announced(engine, image)
        report = {
            "Id": announced.parsed.config.digest,
            "Config": configuration.get("config"),
            "Architecture": configuration.get("architecture"),
            "Os": configuration.get("os"),
            "RootFS": {"Layers": announced.parsed.layers},
            "Size": announced.packed_bytes(),  # nothing is unpacked here
        }
        return replace(image_judge(report, manifest), image=image)

    @contextmanager
    def unlearn(
        self, spec: ContainerSpec, *, scratch: Path, log: Path, on_progress: ProgressCallback = ignore_progress
    ) -> Iterator[ContainerExit]:
        """/out is a folder of the claim: its size is looked at every second; the kernel sets no limit."""
        out = scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        out.chmod(0o777)
        limits = spec.limits
        try:
            with self._pod(spec, out) as pod:
                output = Output(log_path(log), on_progress)
                too_large = _Watch(out, limits.out_mb * _MB, limits.out_files)
                began = time.monotonic()
                in_time = self._follow(pod, output, wall_s=limits.wall_s, watch=too_large)
                ended = pod.ended()
                failure = pod.failure(ended, limits=limits, in_time=in_time)
                if too_large.found() and (failure is None or failure[0] is not FailureCode.TIMEOUT):
                    room = f"{limits.out_mb} MB, {limits.out_files} files"
                    failure = (FailureCode.OUTPUT_TOO_LARGE, f"filled /out ({room})")
                if failure is not None and failure[0] is FailureCode.PLATFORM_ERROR:
                    raise EvaluationFailed(*failure)
                yield ContainerExit(
                    code=ended.code,
                    wall_s=ended.wall_s or round(time.monotonic() - began, 3),
                    peak_mb=None,
                    failure=failure[0] if failure else None,
                    detail=detail(failure[1] if failure else "exited with 0", output),
                    out_dir=out,
                )
        finally:
            shutil.rmtree(out, ignore_errors=True)

    @contextmanager
    def serve(self, spec: ContainerSpec, *, scratch: Path, log: Path, ready_s: float = 120.0) -> Iterator[Server]:
        """The socket is one of this machine; behind it `kubectl exec` carries bytes to the pod's."""
        # The path of a unix socket may have at most 107 bytes, and `scratch` can lie deep.
        folder = Path(tempfile.mkdtemp(prefix="palimpsest-"))
        try:
            with self._pod(spec, None) as pod:
                output = Output(log_path(log), after="serve")
                inside = f"{flags.SOCKET_FOLDER}/api.sock"
                entered = self.command("exec", "--stdin", pod.name, "--container", manifests.RELAY, "--")
                relay = Relay(folder / "api.sock", [*entered, "python3", "-c", PROGRAM, inside], self.environment())
                try:
                    problem = health_wait(folder / "api.sock", ready_s, alive=pod.running)
                    output.feed(0, pod.logs().encode())
                    if problem is not None:
                        if not pod.running():
                            problem = f"the server ended: {pod.ended().reason}"
                        raise EvaluationFailed(FailureCode.SERVER_NOT_READY, detail(problem, output))
                    yield ServerHandle(folder / "api.sock", is_alive=pod.running, tail=pod.logs)
                finally:
                    relay.close()
                    output.feed(0, b"")
                    output.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, run_id: str | None = None) -> int:
        labels = f"{flags.LABEL_HOME}={self.home_key}"
        if run_id is not None:
            labels += f",{flags.LABEL_RUN}={manifests.run_key(self.home_key, run_id)}"
        try:
            found = json.loads(self.run("get", "jobs", "--selector", labels, "--output", "json"))["items"]
            now = time.time()
            old = [
                item["metadata"]["name"]
                for item in found
                if run_id is not None or float(item["metadata"]["labels"][flags.LABEL_DEADLINE]) < now
            ]
            if old:
                self.run(*_deletion(*old))
        except (EngineError, LookupError, ValueError) as error:
            raise platform_failure("leftover Jobs could not be swept", error) from None
        return len(old)

    def describe(self) -> dict[str, str]:
        try:
            version = json.loads(self.run("version", "--output", "json"))["serverVersion"]["gitVersion"]
        except (EngineError, LookupError, ValueError) as error:
            raise platform_failure("the cluster does not describe itself", error) from None
        wall = f"runtime class {self.cluster.runtime_class}" if self.cluster.runtime_class else "the nodes' own kernel"
        return {
            "backend": self.name,
            "isolation": f"pod: restricted, network policy, read-only root, seccomp, limits; {wall}",
            "engine": f"kubernetes {version}",
            "runtime": self.cluster.runtime_class or "the nodes' default",
            "seccomp": self.cluster.seccomp or "RuntimeDefault",
        }

    # ------------------------------------------------------------ one Job

    @contextmanager
    def _pod(self, spec: ContainerSpec, output: Path | None) -> Iterator[Pod]:
        """Apply policy and Job, wait for the pod to start, and remove the Job whatever happens."""
        mounts_check(spec.mounts)
        lifetime_s = spec.limits.wall_s + flags.BACKSTOP_S + int(STARTING_S)
        job = manifests.job(
            spec,
            self.cluster,
            home_key=self.home_key,
            output=output,
            deadline=time.time() + lifetime_s,
            lifetime_s=lifetime_s,
        )
        name = job["metadata"]["name"]
        wanted = {"apiVersion": "v1", "kind": "List", "items": [manifests.network_policy(), job]}
        switch = ParentWatch([shlex.join(self.command(*_deletion(name)))], self.environment())
        try:
            try:
                self.run(*_deletion(name))  # of an attempt at this run that died
                self.run("apply", "--filename", "-", given=json.dumps(wanted))
            except EngineError as error:
                raise platform_failure("the Job could not be made", error) from None
            pod = Pod(self, name)
            pod.wait_started()
            yield pod
        finally:
            try:
                self.run(*_deletion(name))
            except EngineError as error:
                raise platform_failure("the Job could not be removed", error) from None
            finally:
                switch.disarm()

    def _follow(self, pod: Pod, output: Output, *, wall_s: float, watch: _Watch) -> bool:
        """Read the log until the method has ended or is to be ended; whether it was in time."""
        deadline = time.monotonic() + wall_s
        command = self.command("logs", "--follow", pod.name, "--container", manifests.METHOD)
        process = subprocess.Popen(
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def tick() -> None:
            if watch.look():
                process.kill()

        in_time = follow(process, output, tick=tick, deadline=deadline, end=process.kill)
        # A log can break off before the method ends.
        while in_time and not watch.look() and pod.running():
            in_time = time.monotonic() < deadline
            time.sleep(0.2)
        return in_time


class _Watch:
    """Looks now and then whether a folder has outgrown its limits; once it has, it stays so."""

    def __init__(self, folder: Path, most_bytes: int, most_files: int) -> None:
        self._folder, self._most_bytes, self._most_files = folder, most_bytes, most_files
        self._next = 0.0
        self._over = False

    def look(self) -> bool:
        if not self._over and time.monotonic() >= self._next:
            self._over = self.found()
            self._next = time.monotonic() + _SIZE_EVERY_S
        return self._over

    def found(self) -> bool:
        used = files = 0
        for root, folders, names in os.walk(self._folder):
            files += len(folders) + len(names)
            for name in names:
                try:
                    used += os.lstat(os.path.join(root, name)).st_size
                except OSError:
                    continue
            if used > self._most_bytes or files > self._most_files:
                return True
        return self._over


def _deletion(*names: str) -> list[str]:
    return ["delete", "jobs", *names, "--ignore-not-found", "--cascade=foreground", "--grace-period=0", "--wait=true"]
