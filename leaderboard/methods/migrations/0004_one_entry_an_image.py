"""One image that runs in one way is one entry, whatever its name, version or submitter."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("methods", "0003_registered_at_acceptance"),)

    operations = (
        migrations.RemoveConstraint("submission", "submission_once_per_digest"),
        migrations.RemoveConstraint("submission", "submission_once_per_image"),
        migrations.AddConstraint(
            "submission",
            models.UniqueConstraint(
                fields=["digest", "entry_sha256"],
                condition=~models.Q(digest="") & ~models.Q(state="REFUSED"),
                name="submission_once_per_digest",
            ),
        ),
        migrations.AddConstraint(
            "submission",
            models.UniqueConstraint(
                fields=["image_id", "entry_sha256"], condition=~models.Q(image_id=""), name="submission_once_per_image"
            ),
        ),
    )
