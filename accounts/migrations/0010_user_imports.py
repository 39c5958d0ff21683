"""How an import reads its file, who let it be carried out, and the pieces of its report while it goes on."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_restricted_users")]

    operations = [
        migrations.AddField(
            model_name="userimport",
            name="encoding",
            field=models.CharField(blank=True, db_default="", default="", max_length=12),
        ),
        migrations.AddField(
            model_name="userimport",
            name="ignored_columns",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
        migrations.AddField(
            model_name="userimport",
            name="carried_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="userimport", name="trusted", field=models.BooleanField(db_default=False, default=False)
        ),
        migrations.AddConstraint(
            model_name="userimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["running", "finished"]), _negated=True),
                    ("carried_by__isnull", False),
                    _connector="OR",
                ),
                name="an_import_in_effect_names_who_let_it",
            ),
        ),
        migrations.CreateModel(
            name="UserImportPiece",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first", models.IntegerField()),
                ("lines_sealed", models.BinaryField()),
                (
                    "user_import",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pieces", to="accounts.userimport"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="userimportpiece",
            constraint=models.UniqueConstraint(
                fields=("user_import", "first"), name="a_piece_of_an_import_is_reported_once"
            ),
        ),
    ]
