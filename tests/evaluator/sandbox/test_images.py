"""Images of our own making are reproducible and cached; images of others are judged before they run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import EvaluationFailed, FailureCode, Manifest
from evaluator.sandbox import PodmanSandbox
from evaluator.sandbox.admission import MAX_IMAGE_MB, image_judge
from evaluator.sandbox.images import reference_layers as layers
from evaluator.sandbox.images.oci_layout import Entry, ImageStore
from evaluator.sandbox.images.reference_image import reference_image_build
from evaluator.sandbox.images.registry_hosts import LOCAL_REGISTRY
from tests.evaluator.sandbox.containers import MANIFEST, probe_image

GOOD: dict[str, Any] = {
    "Id": "12" * 32,
    "Architecture": "amd64",
    "Os": "linux",
    "Size": 1 << 20,
    "Config": {"User": "10001:10001", "Entrypoint": ["/run"], "Env": ["PATH=/bin"]},
}


def test_a_good_image_is_accepted() -> None:
    report = image_judge(GOOD, MANIFEST)
    assert report.ok
    assert report.image_id == "sha256:" + "12" * 32


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"User": ""}, "user"),
        ({"User": "root"}, "user"),
        ({"User": "0:1000"}, "user"),
        ({"User": "00"}, "user"),
        ({"Entrypoint": None}, "entrypoint"),
        ({"Env": ["LD_PRELOAD=/x.so"]}, "env.LD_PRELOAD"),
        ({"Env": ["LD_AUDIT=/x.so"]}, "env.LD_AUDIT"),
        ({"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}, "env.NVIDIA_VISIBLE_DEVICES"),
    ],
)
def test_each_rule_names_its_field(change: dict[str, Any], field: str) -> None:
    report = image_judge(GOOD | {"Config": GOOD["Config"] | change}, MANIFEST)
    assert [problem["field"] for problem in report.problems] == [field]
    assert all(report.problems[0][key] for key in ("problem", "remedy"))


def test_every_reason_is_given_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_IMAGE_MB, "1")
    bad = {"Id": "0", "Architecture": "arm64", "Os": "linux", "Size": 9 << 20, "Config": {"Env": ["LD_PRELOAD=x"]}}
    manifest = Manifest.model_validate(MANIFEST.model_dump() | {"run": {"gpu": True}})
    fields = {problem["field"] for problem in image_judge(bad, manifest).problems}
    assert fields == {"user", "entrypoint", "architecture", "env.LD_PRELOAD", "size", "run.gpu"}


@pytest.mark.container
def test_an_image_that_runs_as_root_is_refused_and_ours_is_not(podman: PodmanSandbox, image: str) -> None:
    assert podman.inspect(image, MANIFEST).ok
    refused = podman.inspect(probe_image(podman.home, "probe-root", user="0"), MANIFEST)
    assert not refused.ok
    assert refused.problems[0]["value"] == "0"


@pytest.mark.container
@pytest.mark.parametrize("reference", ["debian:12", "sha256:" + "0" * 64, "debian@sha256:" + "0" * 64])
def test_an_image_that_cannot_be_had_is_unavailable(podman: PodmanSandbox, reference: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        podman.inspect(reference, MANIFEST)
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE
    assert reference in caught.value.detail


@pytest.mark.container
def test_a_registry_that_does_not_answer_makes_an_image_unavailable(
    podman: PodmanSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCAL_REGISTRY, "1")
    with pytest.raises(EvaluationFailed) as caught:
        podman.inspect("localhost:1/team/x@sha256:" + "0" * 64, MANIFEST)
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_the_same_input_gives_the_same_layer(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.py").write_text("x = [n for n in range(3)]\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)

    def digest(store: str) -> str:
        return ImageStore(tmp_path / store).layer("key", lambda: layers.folder_entries(folder, "opt/code")).digest

    first = digest("one")
    time.sleep(0.01)
    (folder / "inner" / "a.py").touch()
    assert digest("two") == first
    assert hashlib.sha256((tmp_path / "one/blobs/sha256" / first[7:]).read_bytes()).hexdigest() == first[7:]


def test_a_layer_is_written_once_for_one_input(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    calls: list[int] = []

    def entries() -> list[Entry]:
        calls.append(1)
        return [Entry("a", b"1")]

    assert store.layer("key", entries) == store.layer("key", entries)
    assert len(calls) == 1


def test_a_link_in_method_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").symlink_to("/etc/passwd")
    with pytest.raises(EvaluationFailed, match="regular file"):
        layers.folder_key(tmp_path / "code", "opt/code")


def test_a_machine_without_the_packages_is_told_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "DEBIAN_PACKAGES", ["no-such-package-anywhere"])
    with pytest.raises(EvaluationFailed, match="Containerfile"):
        layers.debian_key()


def test_the_key_of_the_packages_is_found_without_importing_torch() -> None:
    program = (
        "import sys; from evaluator.sandbox.images.reference_layers import site_distributions, site_key;"
        "site_key(site_distributions());"
        "sys.exit('torch' in sys.modules)"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert time.monotonic() - began < 5


def test_bytecode_in_the_image_is_never_stale_and_names_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def f():\n    return 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path / "code")], check=True)
    found = {entry.path: entry.data for entry in layers.folder_entries(tmp_path / "code", "opt/code")}
    compiled = found["opt/code/__pycache__/a.cpython-311.pyc"]
    assert isinstance(compiled, bytes)
    assert compiled[4:8] == b"\x01\0\0\0"
    assert str(tmp_path).encode() not in compiled
    assert b"/opt/code/a.py" in compiled


def test_the_seccomp_profile_is_the_one_its_script_makes() -> None:
    from evaluator.sandbox.seccomp import ENGINE_PROFILE, PROFILE, profile_make

    if not ENGINE_PROFILE.is_file():
        pytest.skip(f"no engine profile at {ENGINE_PROFILE}")
    assert json.loads(PROFILE.read_text()) == profile_make(json.loads(ENGINE_PROFILE.read_text()))


@pytest.mark.container
def test_what_was_trained_apart_from_the_requests_is_a_layer_of_the_reference_image(
    podman: PodmanSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "site_distributions", dict)  # torch's gigabyte is not what this is about
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__main__.py").write_text("print(*__import__('os').listdir('/opt/palimpsest/baked'))\n")
    home = podman.home

    def built() -> tuple[str, list[str]]:
        image = reference_image_build(home, tmp_path / "methods", engine=podman.engine)
        config = json.loads((home / "images" / "blobs" / "sha256" / image.removeprefix("sha256:")).read_text())
        return image, config["rootfs"]["diff_ids"]

    without, fewer = built()
    baked = home / "baked"
    baked.mkdir()
    (baked / "lte-0123456789abcdef.safetensors").write_bytes(b"tensors")
    try:
        image, more = built()
        assert image != without and more[:3] == fewer and len(more) == 4
        said = podman.engine.run("run", "--rm", "--network=none", image.removeprefix("sha256:")).stdout
        assert said.split() == ["lte-0123456789abcdef.safetensors"]
    finally:
        shutil.rmtree(baked)
