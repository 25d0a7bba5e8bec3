"""The deployment files: they parse, fit together, and keep the promises of the operations page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from evaluator.sandbox.kubernetes.manifest import Cluster

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted([*(DEPLOY / "setup").glob("*.sh"), ROOT / ".ci" / "run"])


def kubernetes_objects() -> list[dict[str, Any]]:
    return _objects(DEPLOY / "kubernetes")


def _objects(folder: Path) -> list[dict[str, Any]]:
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [item for name in names for item in yaml.safe_load_all((folder / name).read_text())]


def test_every_manifest_is_listed_and_has_kind_and_name() -> None:
    listed = set(yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert all({"apiVersion", "kind"} <= item.keys() and item["metadata"]["name"] for item in kubernetes_objects())


def test_every_manifest_keeps_to_the_published_schema() -> None:
    own = [*kubernetes_objects(), *_objects(DEPLOY / "kubernetes" / "methods")]
    for item in own:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


def test_methods_run_in_a_restricted_namespace_without_traffic() -> None:
    objects = _objects(DEPLOY / "kubernetes" / "methods")
    namespace = next(item for item in objects if item["kind"] == "Namespace")
    assert namespace["metadata"]["name"] == Cluster().namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    policy = next(item for item in objects if item["kind"] == "NetworkPolicy")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_pods_run_without_rights_and_with_limits() -> None:
    for item in kubernetes_objects():
        if item["kind"] != "Deployment":
            continue
        pod = item["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_selectors_find_their_pods() -> None:
    objects = kubernetes_objects()
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in objects if item["kind"] == "Deployment"]
    for item in objects:
        if item["kind"] == "Service":
            assert any(item["spec"]["selector"].items() <= labels.items() for labels in pods), item["metadata"]["name"]


def test_compose_services_are_unprivileged_and_their_needs_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name in ("web", "beat", "migrate"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert set(services[name]["depends_on"]) <= services.keys()
    volumes = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert volumes == compose["volumes"].keys()
    assert all(port.startswith("127.0.0.1:") for port in services["web"]["ports"])


def test_the_environment_names_only_settings_that_production_reads() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    settings = "".join(path.read_text() for path in (ROOT / "leaderboard" / "config" / "settings").glob("*.py"))
    read = set(re.findall(r"env[.\w]*\(\s*\"([A-Z0-9_]+)\"", settings))
    assert compose["services"]["web"]["environment"].keys() - read == set()


def test_the_image_copies_only_what_exists() -> None:
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_stop_at_the_first_fault(script: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^set -e?uo pipefail$", script.read_text(), re.MULTILINE)
    assert script.stat().st_mode & 0o111, f"{script.name} is not executable"


def test_system_packages_says_what_is_missing_when_it_may_not_install(tmp_path: Path) -> None:
    """On a path with neither podman nor apt-get nor sudo: exit 1 and the command to type."""
    for name in ("bash", "dirname", "id", "env"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    done = subprocess.run(
        [str(DEPLOY / "setup" / "system_packages.sh"), "browser"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "chromium" in done.stderr
    assert "apt-get install" in done.stderr
