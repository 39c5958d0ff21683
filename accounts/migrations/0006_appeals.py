"""The limit of appeal as published with a measure, when one was overturned, and tries at public forms."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_held_by_the_database")]

    operations = [
        migrations.AddField("measure", "appeal_until", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("measure", "overturned_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("historicalmeasure", "appeal_until", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("historicalmeasure", "overturned_at", models.DateTimeField(blank=True, null=True)),
        migrations.CreateModel(
            name="PublicAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.BinaryField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [
                    models.Index(fields=["digest", "at"], name="attempt_by_digest"),
                    models.Index(fields=["at"], name="attempt_by_time"),
                ],
            },
        ),
    ]
