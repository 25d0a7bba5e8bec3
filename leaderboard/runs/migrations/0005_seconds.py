"""Where a run's seconds went; empty for the runs of evaluators that kept no such record."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_notified_at")]

    operations = [
        migrations.AddField(
            "run",
            "seconds",
            models.JSONField(
                blank=True, default=dict, help_text="Stage by stage: on a hidden split for organisers alone."
            ),
        ),
    ]
