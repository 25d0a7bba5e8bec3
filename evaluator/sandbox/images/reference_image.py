"""The reference image, built without a registry from what this machine has installed, and cached by its inputs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from evaluator.contract import data_folder
from evaluator.contract.folder import ROOT
from evaluator.sandbox.engine_commands.base import ContainerEngine
from evaluator.sandbox.engine_commands.podman import PodmanEngine
from evaluator.sandbox.images import reference_layers as layers
from evaluator.sandbox.images.oci_layout import ImageConfig, ImageStore

METHODS_AT = "opt/palimpsest/methods"
BAKED_AT = "opt/palimpsest/baked"
ENTRYPOINT = ("/usr/bin/python3", "-m", "methods")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": "/opt/palimpsest:/opt/site",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

Report = Callable[[str], None]


def quiet(_: str) -> None:
    return None


def reference_image_build(
    home: Path, methods_dir: Path, *, progress: Report = quiet, engine: ContainerEngine | None = None
) -> str:
    """Build and load the reference image; `sha256:<image ID>`.

    Layers: Debian's Python, the packages of `layers.SITE_ROOTS` as installed here, `methods_dir`, and what `bake` has
    left under `home`/baked, if anything. Each is cached under `home`/images by a hash of its inputs, so a change of
    method code rewrites a few kilobytes. A second call with nothing changed takes under two seconds. `progress` gets
    one sentence a step.
    Raises `EvaluationFailed(platform_error)` naming what is missing, `EngineError` when the engine fails.
    """
    if not (methods_dir / "__main__.py").is_file():
        raise layers.refused(f"{methods_dir} is not a package with a __main__.py")
    engine, store = engine or PodmanEngine(home), ImageStore(home / "images")
    distributions = layers.site_distributions()
    keys = [
        layers.debian_key(),
        layers.site_key(distributions),
        layers.folder_key(methods_dir, METHODS_AT),
    ]
    baked = home / "baked"
    if any(baked.glob("*.safetensors")):
        keys.append(layers.folder_key(baked, BAKED_AT))
    whole = layers.text_hash("reference", *keys, *ENTRYPOINT, json.dumps(ENVIRONMENT, sort_keys=True))
    record = home / "images" / "reference.json"
    with store.lock():
        known = json.loads(record.read_text()) if record.is_file() else {}
        if known.get("key") == whole and engine.image_exists(known["image_id"]):
            return str(known["image_id"])
        progress("copying Debian's Python")
        system = store.layer(keys[0], layers.debian_entries)
        progress(f"copying {len(distributions)} Python packages (torch, transformers and what they need)")
        site = store.layer(keys[1], lambda: layers.site_entries(distributions))
        code = store.layer(keys[2], lambda: layers.folder_entries(methods_dir, METHODS_AT))
        trained = [store.layer(key, lambda: layers.folder_entries(baked, BAKED_AT)) for key in keys[3:]]
        stack = (system, site, code, *trained)
        image_id = store.image("reference", stack, ImageConfig(entrypoint=ENTRYPOINT, env=ENVIRONMENT))
        progress(f"loading {sum(layer.size for layer in stack) >> 20} MB into {engine.program}")
        store.load(engine, "reference", image_id)
        partial = record.with_name(f".{record.name}.{os.getpid()}")
        partial.write_text(json.dumps({"key": whole, "image_id": image_id}))
        partial.replace(record)
    return image_id


def folder_image_build(
    home: Path, folder: Path, *, name: str, config: ImageConfig, engine: ContainerEngine | None = None
) -> str:
    """Build and load a small image: Debian's Python and one folder at /opt/palimpsest/<folder name>; its image ID."""
    engine, store = engine or PodmanEngine(home), ImageStore(home / "images")
    target = f"opt/palimpsest/{folder.name}"
    with store.lock():
        system = store.layer(layers.debian_key(), layers.debian_entries)
        code = store.layer(layers.folder_key(folder, target), lambda: layers.folder_entries(folder, target))
        image_id = store.image(name, (system, code), config)
        store.load(engine, name, image_id)
    return image_id


def main(arguments: list[str] | None = None) -> int:
    """`python -m evaluator.sandbox.images.reference_image`: print the image ID of the reference image."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.sandbox.images.reference_image", description=reference_image_build.__doc__
    )
    parser.add_argument("--home", type=Path, default=data_folder())
    parser.add_argument("--methods", type=Path, default=ROOT / "methods")
    options = parser.parse_args(arguments)
    print(reference_image_build(options.home, options.methods, progress=lambda text: print(text, file=sys.stderr)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
