"""Every decision carries the transaction that inserted it: what scheduled bundles are cut by (contract.md ruling 13)."""

from django.db import migrations

from core.sql import load


class Migration(migrations.Migration):
    dependencies = [("reporting", "0001_initial"), ("moderation", "0002_append_only")]

    operations = [
        migrations.RunSQL(load("reporting/commit_stamp_v1"), "DROP FUNCTION reporting_commit_stamp_v1(regclass)"),
        migrations.RunSQL(
            "SELECT reporting_commit_stamp_v1('moderation_decision')",
            "ALTER TABLE moderation_decision DROP COLUMN xact",
        ),
    ]
