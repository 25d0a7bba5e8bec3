"""Names are registered at acceptance, and one image is one entry under any name."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from evaluator.contract import ManifestError, manifest_parse
from leaderboard.methods.names import skeleton


def names_fill(apps: Any, schema_editor: Any) -> None:
    """Methods that were ever accepted are registered; names get their skeleton."""
    method_model = apps.get_model("methods", "Method")
    for method in method_model.objects.all():
        # Only the inspection that accepts a submission resolves its digest and its image.
        accepted = method.submissions.exclude(image_id="").exclude(state="REFUSED").order_by("created_at").first()
        if accepted is None:
            accepted = method.submissions.filter(state="ACCEPTED").order_by("created_at").first()
        method.skeleton = skeleton(method.name)
        method.registered_at = accepted.created_at if accepted else None
        method.save(update_fields=["skeleton", "registered_at"])


def entries_fill(apps: Any, schema_editor: Any) -> None:
    """What was taken for two entries before stays two: the later ones keep the identity that they had."""
    submission_model = apps.get_model("methods", "Submission")
    seen: set[tuple[str, str]] = set()
    for submission in submission_model.objects.order_by("created_at"):
        try:
            entry = manifest_parse(submission.manifest).entry_digest()
        except ManifestError:
            entry = submission.manifest_sha256
        keys = {(name, entry) for name in (submission.digest, submission.image_id) if name}
        if keys & seen:
            entry = submission.manifest_sha256
            keys = {(name, entry) for name, _ in keys}
        seen |= keys
        submission.entry_sha256 = entry
        submission.save(update_fields=["entry_sha256"])


class Migration(migrations.Migration):
    dependencies = (("methods", "0002_images_by_tag_and_archive"),)

    operations = (
        *(
            migrations.AddField(
                model,
                "registered_at",
                models.DateTimeField(
                    null=True,
                    blank=True,
                    help_text="When its first submission was accepted; before, nobody else sees it.",
                ),
            )
            for model in ("method", "historicalmethod")
        ),
        *(
            migrations.AddField(
                model,
                "skeleton",
                models.CharField(
                    max_length=160,
                    blank=True,
                    db_index=True,
                    default="",
                    help_text="Of the name: names that look alike have one skeleton.",
                ),
                preserve_default=False,
            )
            for model in ("method", "historicalmethod")
        ),
        migrations.AddField(
            "submission",
            "entry_sha256",
            models.CharField(
                max_length=64,
                blank=True,
                default="",
                help_text="Of how the image runs: with it, one image is one entry under any name.",
            ),
            preserve_default=False,
        ),
        migrations.RunPython(names_fill, migrations.RunPython.noop),
        migrations.RunPython(entries_fill, migrations.RunPython.noop),
    )
