"""Every event of a rumor case carries the transaction that inserted it (contract.md ruling 13)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("reporting", "0002_stamp_decisions"), ("rumors", "0002_append_only")]

    operations = [
        migrations.RunSQL(
            "SELECT reporting_commit_stamp_v1('rumors_caseevent')",
            "ALTER TABLE rumors_caseevent DROP COLUMN xact",
        ),
    ]
