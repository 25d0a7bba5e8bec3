"""`palimpsest new FOLDER`: a method folder that works as it is, to be changed into one's own."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml

from evaluator.cli.palimpsest import screen

SKELETONS = Path(__file__).with_name("skeleton")
SKELETON = SKELETONS / "weights"
#: Files that go into several skeletons: those that bring a test of their own.
SHARED = SKELETONS / "shared"
#: The entrypoint says these itself.
_NOT_COPIED = frozenset({"model_name", "device", "fp16", "model_parallel"})


def method_folder_make(folder: Path, skeleton: Path = SKELETON, *, hparams: str = "") -> list[Path]:
    """Write a skeleton under the folder's own name, `hparams` (TOML) at the end of its manifest; its files.

    Raises `FileExistsError` when something is there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(folder)
    # What the skeleton calls itself, in its manifest and in a path.
    its_name = tomllib.loads((skeleton / "method.toml").read_text())["name"]
    its_slug = its_name.lower().replace(" ", "-")
    slug = folder.resolve().name
    name = slug.replace("-", " ").replace("_", " ").capitalize()
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    sources = [*skeleton.iterdir(), *(SHARED.iterdir() if (skeleton / "test_method.py").is_file() else ())]
    for source in sorted(path for path in sources if path.is_file()):
        target = folder / source.name
        text = source.read_text().replace(its_name, name).replace(its_slug, slug)
        target.write_text(text + hparams if source.name == "method.toml" else text)
        made.append(target)
    return made


def easyedit_hparams(path: Path) -> str:
    """An EasyEdit YAML file as TOML lines. Raises `ValueError` that says what is wrong with it, `OSError`."""
    try:
        table = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(table, dict) or not isinstance(table.get("alg_name"), str):
        raise ValueError("has no `alg_name`, as every EasyEdit file has")
    return "".join(f"{key} = {_toml(key, value)}\n" for key, value in table.items() if key not in _NOT_COPIED)


def _toml(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(key, item) for item in value)}]"
    if isinstance(value, str):
        try:  # as EasyEdit reads it: YAML takes 5e-1 for text
            return repr(float(value))
        except ValueError:
            return json.dumps(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError(f"has a value under `{key}` that is no number, text or list: {value!r}")


def new(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet; its name becomes the method's.")],
    easyedit: Annotated[
        Path | None, typer.Option(help="An EasyEdit hparams YAML file: the entry runs that algorithm of EasyEdit.")
    ] = None,
    server: Annotated[
        bool, typer.Option("--server", help="A server (division system) instead of changed weights.")
    ] = False,
) -> None:
    """Write a working method folder: manifest, entrypoint, Containerfile, test and README."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", folder.resolve().name):
        _refuse("folder", folder, "is no name for a method", "use small letters, digits and hyphens, at most 60")
    skeleton, hparams = SKELETONS / "server" if server else SKELETON, ""
    if easyedit is not None:
        if server:
            _refuse("easyedit", easyedit, "changes weights, and --server was given too", "give one of the two")
        try:
            skeleton, hparams = SKELETONS / "easyedit", easyedit_hparams(easyedit)
        except OSError as error:
            _refuse(
                "easyedit", easyedit, f"cannot be read: {error.strerror}", "give a file such as hparams/ROME/*.yaml"
            )
        except ValueError as error:
            _refuse("easyedit", easyedit, str(error), "give a file such as EasyEdit's hparams/ROME/gpt2-xl.yaml")
    try:
        made = method_folder_make(folder, skeleton, hparams=hparams)
    except FileExistsError:
        _refuse("folder", folder, "exists and is not empty", "choose another name, or remove it first")
    except OSError as error:
        _refuse("folder", folder, f"cannot be written: {error.strerror}", "choose a place that you may write to")
    for path in made:
        screen.out.print(str(path), soft_wrap=True, markup=False, highlight=False)
    screen.out.print(f"Next: palimpsest try {shlex.quote(str(folder))}", soft_wrap=True, markup=False, highlight=False)


def _refuse(field: str, path: Path, problem: str, remedy: str) -> NoReturn:
    screen.problems_print([{"field": field, "value": str(path), "problem": problem, "remedy": remedy}])
    raise typer.Exit(1)
