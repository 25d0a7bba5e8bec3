"""`palimpsest new FOLDER`: a method folder that works as it is, to be changed into one's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from evaluator.client import screen

SKELETON = Path(__file__).with_name("skeleton") / "weights"
#: What the skeleton calls itself, in a manifest and in a path.
SKELETON_NAME, SKELETON_SLUG = "IDK last layers", "idk-last-layers"


def method_folder_make(folder: Path) -> list[Path]:
    """Write the skeleton under the folder's own name; its files. Raises `FileExistsError` when something is there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(folder)
    slug = folder.resolve().name
    name = slug.replace("-", " ").replace("_", " ").capitalize()
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in sorted(path for path in SKELETON.iterdir() if path.is_file()):
        target = folder / source.name
        target.write_text(source.read_text().replace(SKELETON_NAME, name).replace(SKELETON_SLUG, slug))
        made.append(target)
    return made


def new(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet; its name becomes the method's.")],
) -> None:
    """Write a working method folder: manifest, entrypoint, Containerfile, test and README."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", folder.resolve().name):
        _refuse(folder, "is no name for a method", "use small letters, digits and hyphens, at most 60")
    try:
        made = method_folder_make(folder)
    except FileExistsError:
        _refuse(folder, "exists and is not empty", "choose another name, or remove it first")
    except OSError as error:
        _refuse(folder, f"cannot be written: {error.strerror}", "choose a place that you may write to")
    for path in made:
        screen.out.print(str(path), soft_wrap=True, markup=False, highlight=False)
    screen.out.print(f"Next: palimpsest try {shlex.quote(str(folder))}", soft_wrap=True, markup=False, highlight=False)


def _refuse(folder: Path, problem: str, remedy: str) -> NoReturn:
    screen.problems_print([{"field": "folder", "value": str(folder), "problem": problem, "remedy": remedy}])
    raise typer.Exit(1)
