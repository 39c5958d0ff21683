"""Decisions, statements, findings and the claim log only grow; the queue's slim tables are vacuumed early."""

from django.db import migrations

TABLES = ("moderation_decision", "moderation_statementofreasons", "moderation_finding", "moderation_claimevent")
FORWARD = "".join(
    f"CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION append_only_v1();\n"
    for t in TABLES
)
BACK = "".join(f"DROP TRIGGER rows_never_change ON {t};\n" for t in TABLES)
VACUUM = (
    "".join(
        f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,"
        f" autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);\n"
        for table in ("moderation_task", "moderation_lease")
    )
    # An item is written once and settled once or twice: leave room on its page for the settled version.
    + "ALTER TABLE moderation_submission SET (fillfactor = 75);\n"
)


class Migration(migrations.Migration):
    dependencies = [("moderation", "0001_initial"), ("core", "0002_append_only")]

    operations = [
        migrations.RunSQL(FORWARD, BACK),
        migrations.RunSQL(VACUUM, migrations.RunSQL.noop),
    ]
