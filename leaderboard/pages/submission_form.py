"""The form of a submission: it reads what was typed, and shows what the service refused where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from django import forms
from django.http import QueryDict

from evaluator.contract import MANIFEST_MAX_BYTES, ManifestError, table_read
from leaderboard.accounts.models import User
from leaderboard.benchmarks.selectors import release_list
from leaderboard.core.problems import Problem
from leaderboard.methods.models import Method
from leaderboard.submissions import checks

_EXAMPLE = """contract = 1
name = "My method"
version = "1.0"
kind = "editing"          # editing | unlearning | in-context | retrieval | control
division = "weights"      # weights | system
authors = ["Ada Example"]

[run]
needs = []                # any of "retain", "neutral", "align", "triples"

[hparams]
"""


class SubmissionForm(forms.Form):
    """One image, one manifest, and the benchmarks that it goes to."""

    image = forms.CharField(
        label="Image reference",
        max_length=400,
        help_text="<code>host/name@sha256:…</code>, or <code>host/name:tag</code>: the tag is looked up once, and the "
        "digest that it has then is what runs.",
        error_messages={"required": "The image is missing: give its reference, or upload the file."},
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "class": "code"}),
    )
    manifest = forms.CharField(
        label="Manifest",
        required=False,
        strip=False,
        max_length=MANIFEST_MAX_BYTES,
        help_text="The content of <code>method.toml</code> (JSON is read too).",
        widget=forms.Textarea(attrs={"rows": 16, "class": "code", "spellcheck": "false", "placeholder": _EXAMPLE}),
    )
    manifest_file = forms.FileField(
        label="or the file itself",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".toml,.json,application/json", "data-fills": "id_manifest"}),
    )
    method = forms.ChoiceField(
        label="Method",
        required=False,
        help_text="A version of a method that you have registered, or a new one under the manifest's name.",
    )
    releases = forms.MultipleChoiceField(label="Benchmarks", required=False, widget=forms.CheckboxSelectMultiple)
    n_seeds = forms.IntegerField(
        label="Number of seeds",
        initial=1,
        min_value=1,
        max_value=checks.MAX_SEEDS,
        help_text="One to five. The platform chooses them; each is a run of its own.",
    )
    tryout = forms.BooleanField(
        label="First try it on the public split, and go on only if that works",
        required=False,
        initial=True,
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("manifest", "manifest_file", "method"):
            self.fields[name].widget.attrs["data-stands-alone"] = (
                ""  # no word “optional”: `clean` asks for one of the two
            )
        mine = Method.objects.filter(owner=user).order_by("name").values_list("slug", "name")
        method, releases = self.fields["method"], self.fields["releases"]
        assert isinstance(method, forms.ChoiceField)
        assert isinstance(releases, forms.MultipleChoiceField)
        method.choices = [("", "As the manifest says"), *mine]
        releases.choices = [
            (release.slug, release.title)
            for release in release_list(active_only=True).order_by("-split", "benchmark", "size")
        ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        upload = cleaned.get("manifest_file")
        text = str(cleaned.get("manifest") or "")
        if upload is not None:
            if upload.size > MANIFEST_MAX_BYTES:
                self.add_error(
                    "manifest_file", f"The file has {upload.size} bytes; a manifest has at most {MANIFEST_MAX_BYTES}."
                )
                return cleaned
            try:
                text = upload.read().decode()
            except UnicodeDecodeError:
                self.add_error("manifest_file", f"“{upload.name}” is not UTF-8 text; save it as UTF-8 TOML or JSON.")
                return cleaned
            # What was uploaded stands in the text field from here on, so that it is kept when something is refused.
            data = cast(QueryDict, self.data).copy()
            data["manifest"] = text
            self.data = data
        if not text.strip():
            self.add_error("manifest", "The manifest is missing: paste method.toml here or choose the file.")
            return cleaned
        try:
            cleaned["manifest_table"] = table_read(text)
        except ManifestError as error:
            for problem in error.problems:
                self.add_error("manifest", f"The manifest {problem['problem']}: {problem['remedy']}.")
        return cleaned

    def problems_add(self, problems: Iterable[Problem]) -> None:
        """Shows what a service refused, each reason at the field that it is about."""
        for problem in problems:
            name = problem["field"].split(".", 1)[0]
            field = {"slug": "method", "name": "manifest"}.get(name, name)
            value = f" “{problem['value']}”" if problem["value"] else ""
            text = f"{problem['field']}{value} {problem['problem']}: {problem['remedy']}."
            self.add_error(field if field in self.fields else None, text)


def initial_of(params: Any, *, slugs: Sequence[str]) -> dict[str, Any]:
    """What the address asks to be filled in: `?benchmark=` and `?method=`."""
    asked = [slug for slug in params.getlist("benchmark") if slug in slugs]
    return {
        "releases": asked or [slug for slug in slugs if not slug.endswith("-public")][:1],
        "method": params.get("method", ""),
    }
