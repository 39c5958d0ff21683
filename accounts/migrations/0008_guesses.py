import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_personal_data")]

    operations = [
        migrations.CreateModel(
            name="GuessCount",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("wait_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={"indexes": [models.Index(fields=["last_at"], name="guess_count_rests")]},
        ),
    ]
