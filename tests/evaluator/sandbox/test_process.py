"""The backend without isolation: the same contract for a folder of method code on any machine."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.contract import EvaluationFailed, FailureCode, Limits
from evaluator.sandbox import ContainerExit, ContainerSpec, Mount, ProcessSandbox, Progressed, Role
from evaluator.sandbox.health import UnixConnection
from evaluator.sandbox.process import method_command
from tests.evaluator.sandbox.containers import MANIFEST, PROBE


@pytest.fixture
def sandbox(tmp_path: Path) -> ProcessSandbox:
    return ProcessSandbox(tmp_path)


@pytest.fixture
def method(tmp_path: Path) -> Path:
    folder = tmp_path / "method"
    folder.mkdir()
    shutil.copy(PROBE / "entry.py", folder / "entrypoint.py")
    return folder


def spec_make(method: Path, *arguments: str, role: Role = "unlearn", **limits: int) -> ContainerSpec:
    home = method.parent
    for name in ("in/base", "base", "state"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "in" / "job.json").write_text("{}")
    (home / "base" / "config.json").write_text("{}")
    if role == "unlearn":
        mounts = (Mount(home / "in", "/in"), Mount(home / "base", "/in/base"))
    else:
        mounts = (Mount(home / "state", "/state"), Mount(home / "base", "/base"))
    settings = Limits(wall_s=20, out_mb=4, out_files=20, ram_mb=2000).model_copy(update=limits)
    return ContainerSpec(f"p-{home.name}", role, str(method), (role, *arguments), mounts, {}, settings)


def run(sandbox: ProcessSandbox, spec: ContainerSpec, tmp_path: Path) -> ContainerExit:
    with sandbox.unlearn(spec, scratch=tmp_path / "scratch", log=tmp_path / "run.log") as ended:
        return ended


def test_it_reads_and_writes_where_the_variables_say(sandbox: ProcessSandbox, method: Path, tmp_path: Path) -> None:
    (method / "entrypoint.py").write_text(
        "import os; from pathlib import Path\n"
        "names = sorted(os.listdir(os.environ['PALIMPSEST_IN']))\n"
        "names += os.listdir(os.environ['PALIMPSEST_IN'] + '/base')\n"
        "Path(os.environ['PALIMPSEST_OUT'], 'result.json').write_text(' '.join(names))\n"
    )
    spec = spec_make(method)
    with sandbox.unlearn(spec, scratch=tmp_path / "scratch", log=tmp_path / "run.log") as ended:
        assert ended.failure is None, ended.detail
        assert (ended.out_dir / "result.json").read_text() == "base job.json config.json"
    assert not ended.out_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "limits", "failure"),
    [
        (("leave", "3"), {}, FailureCode.METHOD_ERROR),
        (("sleep",), {"wall_s": 1}, FailureCode.TIMEOUT),
        (("disk",), {"out_mb": 1, "tmp_mb": 1}, FailureCode.OUTPUT_TOO_LARGE),
        (("memory",), {"ram_mb": 200}, FailureCode.OUT_OF_MEMORY),
    ],
)
def test_each_bad_end_has_its_code(
    sandbox: ProcessSandbox,
    method: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    limits: dict[str, int],
    failure: FailureCode,
) -> None:
    ended = run(sandbox, spec_make(method, *arguments, **limits), tmp_path)  # type: ignore[arg-type]
    assert ended.failure is failure, ended.detail


def test_progress_is_passed_on(sandbox: ProcessSandbox, method: Path, tmp_path: Path) -> None:
    seen: list[Progressed] = []
    spec = spec_make(method, "progress")
    with sandbox.unlearn(spec, scratch=tmp_path / "s", log=tmp_path / "run.log", on_progress=seen.append):
        pass
    assert seen[-1] == Progressed(0.75, "editing")


def test_it_gets_no_secret_of_the_caller(
    sandbox: ProcessSandbox, method: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", "secret")
    (method / "entrypoint.py").write_text("import os, json; print(json.dumps(dict(os.environ)))")
    run(sandbox, spec_make(method), tmp_path)
    assert "DJANGO_SECRET_KEY" not in json.loads((tmp_path / "run.log").read_text())


def test_a_server_is_reached_over_its_socket(sandbox: ProcessSandbox, method: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20)
    spec = spec_make(method, "serve", role="serve")
    with sandbox.serve(spec, scratch=deep, log=tmp_path / "serve.log") as server:
        connection = UnixConnection(server.socket, 5.0)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        connection.request("GET", "/die")
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
        end = time.monotonic() + 5
        while server.alive() and time.monotonic() < end:
            time.sleep(0.02)
        assert not server.alive()


def test_a_folder_in_the_methods_package_is_started_as_that_package(tmp_path: Path) -> None:
    package = tmp_path / "methods"
    (package / "rome").mkdir(parents=True)
    (package / "__main__.py").write_text("")
    assert method_command(str(package / "rome")) == ([sys.executable, "-m", "methods"], package)
    assert method_command(str(package)) == ([sys.executable, "-m", "methods"], package)


@pytest.mark.parametrize("folder", ["relative", "/nowhere/at/all", "/usr"])
def test_what_is_no_method_folder_is_an_unavailable_image(sandbox: ProcessSandbox, folder: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        sandbox.inspect(folder, MANIFEST)
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_the_identity_of_a_folder_is_its_content(sandbox: ProcessSandbox, method: Path) -> None:
    first = sandbox.inspect(str(method), MANIFEST)
    assert first.ok
    (method / "entrypoint.py").write_text("pass")
    assert sandbox.inspect(str(method), MANIFEST).image_id != first.image_id


@pytest.mark.chaos
def test_a_process_does_not_survive_the_evaluator(method: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.evaluator.sandbox.test_process import *\n"
        "home = Path(sys.argv[1])\n"
        "run(ProcessSandbox(home), spec_make(home / 'method', 'sleep'), home)\n"
    )
    victim = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    log, end = tmp_path / "run.log", time.monotonic() + 20
    while not (log.is_file() and "sleeping" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    time.sleep(0.5)
    assert ProcessSandbox(tmp_path).sweep(f"p-{tmp_path.name}") == 0


def test_it_says_that_it_isolates_nothing(sandbox: ProcessSandbox) -> None:
    assert sandbox.describe()["isolation"].startswith("none")
