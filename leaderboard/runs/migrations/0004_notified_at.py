"""`rung_at` is `notified_at`: when a message about the run was last sent."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_append_only")]

    operations = [
        migrations.RenameField("run", "rung_at", "notified_at"),
        migrations.AlterField(
            "run",
            "notified_at",
            models.DateTimeField(blank=True, help_text="When a message about it was last sent.", null=True),
        ),
    ]
