from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('uploads', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='upload',
            name='metadata',
            field=models.CharField(blank=True, help_text='What its client said of it (tus), to be given back as it was sent.', max_length=4000),
        ),
    ]
