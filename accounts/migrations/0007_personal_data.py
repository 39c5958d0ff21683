"""Looks at guarded data, and deletion that two people really decided."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import core.ids

APPEND_ONLY = (
    "CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON accounts_look"
    " FOR EACH ROW EXECUTE FUNCTION append_only_v1();"
)
APPEND_ONLY_BACK = "DROP TRIGGER rows_never_change ON accounts_look;"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_appeals"), ("core", "0002_append_only")]

    operations = [
        migrations.CreateModel(
            name="Look",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=8)),
                ("reason", models.TextField(blank=True, default="")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "staff",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="looks",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="looks",
                        to="accounts.user",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["staff", "kind", "at"], name="look_by_person")],
                "constraints": [
                    models.CheckConstraint(
                        name="a_look_at_somebody_names_them_and_says_why",
                        condition=models.Q(("kind", "search"), ("user", None))
                        | (
                            models.Q(("kind__in", ["reveal", "bundle"]), ("user__isnull", False))
                            & ~models.Q(("reason", ""))
                        ),
                    )
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, APPEND_ONLY_BACK),
        migrations.AddConstraint(
            model_name="personrequest",
            constraint=models.CheckConstraint(
                name="what_is_deleted_was_decided_by_a_second_person",
                condition=~models.Q(("kind", "delete"), ("state__in", ["frozen", "done"]))
                | (
                    models.Q(("decided_by__isnull", False), ("proposed_by__isnull", False))
                    & ~models.Q(("proposed_by", models.F("decided_by")))
                ),
            ),
        ),
    ]
