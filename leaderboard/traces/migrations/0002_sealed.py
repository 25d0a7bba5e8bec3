"""The sealed trace of a hidden run beside what is shown of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("traces", "0001_initial")]

    operations = [
        migrations.AddField(
            "tracefile",
            "sealed_path",
            models.CharField(blank=True, default="", help_text="Name of the sealed trace in the storage.", max_length=300),
            preserve_default=False,
        ),
        migrations.AddField(
            "tracefile",
            "sealed_sha256",
            models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AlterField("tracefile", "redacted", models.BooleanField(help_text="Outcomes alone: of a hidden run.")),
    ]
