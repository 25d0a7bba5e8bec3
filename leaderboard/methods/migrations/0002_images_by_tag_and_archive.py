from django.conf import settings
from django.db import migrations, models


def references_copy(apps, schema_editor):
    """Until now every image was named by its digest: what was submitted is what runs.

    An image that was submitted by two names with one manifest keeps both rows; the older one stands for it.
    """
    Submission = apps.get_model("methods", "Submission")
    digests, image_ids = set(), set()
    for row in Submission.objects.order_by("created_at"):
        row.resolved, row.digest = row.image, row.image.rsplit("@", 1)[-1]
        if (key := (row.digest, row.manifest_sha256)) in digests and row.state != "REFUSED":
            row.digest = ""
        elif row.state != "REFUSED":
            digests.add(key)
        if row.image_id and (key := (row.image_id, row.manifest_sha256)) in image_ids:
            row.image_id = ""
        elif row.image_id:
            image_ids.add(key)
        Submission.objects.filter(pk=row.pk).update(
            resolved=row.resolved, digest=row.digest, image_id=row.image_id
        )


class Migration(migrations.Migration):

    dependencies = [
        ('benchmarks', '0001_initial'),
        ('methods', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='submission',
            name='submission_once_per_digest',
        ),
        migrations.AddField(
            model_name='submission',
            name='digest',
            field=models.CharField(blank=True, help_text='Of `resolved`: two names of one digest are one image.', max_length=400),
        ),
        migrations.AddField(
            model_name='submission',
            name='resolved',
            field=models.CharField(blank=True, help_text='What runs use: never a tag. Empty until a tag is resolved.', max_length=400),
        ),
        migrations.AlterField(
            model_name='submission',
            name='image',
            field=models.CharField(help_text='As it was submitted: by digest, by tag, or an uploaded archive.', max_length=400),
        ),
        migrations.AlterField(
            model_name='submission',
            name='image_id',
            field=models.CharField(blank=True, help_text='Of the image itself, as the inspection found it.', max_length=80),
        ),
        migrations.RunPython(references_copy, migrations.RunPython.noop, elidable=True),
        migrations.AddConstraint(
            model_name='submission',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('digest', ''), _negated=True), models.Q(('state', 'REFUSED'), _negated=True)), fields=('digest', 'manifest_sha256'), name='submission_once_per_digest'),
        ),
        migrations.AddConstraint(
            model_name='submission',
            constraint=models.UniqueConstraint(condition=models.Q(('image_id', ''), _negated=True), fields=('image_id', 'manifest_sha256'), name='submission_once_per_image'),
        ),
    ]
