"""The manifest of a submission (`method.toml`; its JSON form is what the API takes)."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from evaluator.contract.manifest_text import MANIFEST_MAX_BYTES, ManifestError, plain_problems, table_read

CONTRACT_VERSION = 1

Kind = Literal["editing", "unlearning", "in-context", "retrieval", "control"]
Division = Literal["weights", "system"]
OptionalInput = Literal["retain", "neutral", "align", "triples"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

#: Control and format characters (direction marks, joiners), surrogates, private use, separators of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

#: Exact bytes: a local image by its ID, a registry image by its digest, or an uploaded archive by its own hash.
#: A tag alone is never enough.
IMAGE_REFERENCE = re.compile(r"^(?:[a-z0-9][a-z0-9._:/-]*@)?sha256:[0-9a-f]{64}\Z")
#: An uploaded image archive, by the SHA-256 of the file: `uploads/<hex>.tar` of the data folder.
ARCHIVE_REFERENCE = re.compile(r"^archive@sha256:(?P<sha256>[0-9a-f]{64})\Z")
#: A tag in a fully named registry. It can move, so an inspection turns it into a digest, and only that runs.
IMAGE_TAG = re.compile(
    r"^(?P<name>(?P<host>(?:localhost|[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+|[a-z0-9][a-z0-9-]*(?=:))(?::[0-9]{1,5})?)"
    r"(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)+):(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})\Z"
)


class RunSection(BaseModel):
    """`[run]`: how the image is started and which optional inputs it reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    args: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=32)
    needs: tuple[OptionalInput, ...] = ()
    gpu: bool = False
    deterministic: bool = False
    base: Literal["any"] | tuple[Sha256, ...] = "any"


class Manifest(BaseModel):
    """What a submission says about itself. Unknown keys are errors that name the nearest known key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contract: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    version: Annotated[str, Field(min_length=1, max_length=40)]
    kind: Kind
    division: Division
    authors: tuple[Annotated[str, Field(max_length=120)], ...] = Field(min_length=1, max_length=40)
    paper: Annotated[str, Field(max_length=300)] = ""
    code: Annotated[str, Field(max_length=300)] = ""
    licence: Annotated[str, Field(max_length=80)] = ""
    run: RunSection = RunSection()
    hparams: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name", "version", "authors", "licence", "paper", "code")
    @classmethod
    def _plain_text(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (value,) if isinstance(value, str) else value:
            for character in text:
                if unicodedata.category(character) in _UNSEEN:
                    name = unicodedata.name(character, "control character")
                    raise ValueError(f"holds {character!a} ({name}), which is not seen; remove it")
        return value

    @field_validator("paper", "code")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not re.match(r"^https?://", value):
            raise ValueError("must be an http(s) address, or empty")
        return value

    @field_validator("hparams")
    @classmethod
    def _small_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"must be plain JSON values without NaN or infinity: {error}") from None
        if len(text) > 20_000:
            raise ValueError("must be at most 20,000 characters as JSON")
        return value

    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return _canonical_sha256(self.model_dump(mode="json"))

    def entry_digest(self) -> str:
        """SHA-256 of what decides how the image runs. With the image's digest it identifies an entry: under another
        name, version or author it is the same one.
        """
        return _canonical_sha256(self.model_dump(mode="json", include={"division", "run", "hparams"}))


def _canonical_sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def manifest_parse(data: Any) -> Manifest:
    """A `Manifest` from its dict form. Raises `ManifestError` with every fault at once."""
    if problems := plain_problems(data):
        raise ManifestError(problems)
    if not isinstance(data, dict):
        raise ManifestError(
            [
                {
                    "field": "manifest",
                    "value": _short(data),
                    "problem": "is not a table of keys",
                    "remedy": "give an object with at least `contract = 1` and `name`",
                }
            ]
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError([_problem(item) for item in error.errors()]) from None


def manifest_load(path: Path) -> Manifest:
    """A `Manifest` from a `method.toml` (or `.json`) file. Raises `ManifestError` or `OSError`."""
    with path.open("rb") as handle:
        raw = handle.read(MANIFEST_MAX_BYTES + 1)  # no more of a file that was named by mistake
    return manifest_parse(table_read(raw, name=path.name, is_json=path.suffix == ".json"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _problem(item: Any) -> dict[str, str]:
    location = [str(part) for part in item["loc"] if not str(part).startswith(("literal[", "tuple["))]
    field = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = list(RunSection.model_fields) if location[:-1] == ["run"] else list(Manifest.model_fields)
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.0)
        return {
            "field": field,
            "value": _short(item.get("input")),
            "problem": "is not a known key",
            "remedy": f"did you mean `{close[0]}`? Free settings belong under [hparams]",
        }
    if item["type"] == "missing":
        return {"field": field, "value": "", "problem": "is missing", "remedy": f"add `{field}` to the manifest"}
    return {
        "field": field,
        "value": _short(item.get("input")),
        "problem": str(item["msg"]).removeprefix("Value error, "),
        "remedy": "see the contract page for the allowed values",
    }
