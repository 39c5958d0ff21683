"""The ledger is append-only, and the busy slim tables are vacuumed before dead rows gather."""

from django.db import migrations

from core.sql import load

TRIGGERS = """
CREATE TRIGGER ledger_rows_never_change BEFORE UPDATE OR DELETE ON core_auditevent
    FOR EACH ROW EXECUTE FUNCTION append_only_v1();
CREATE TRIGGER ledger_is_never_emptied BEFORE TRUNCATE ON core_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION append_only_v1();
"""
# Rows of these tables live for seconds; the stock thresholds would let dead ones slow every claim.
VACUUM = "".join(
    f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,"
    f" autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);\n"
    for table in ("core_job", "core_outboxevent")
)


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.RunSQL(load("core/append_only_v1"), "DROP FUNCTION append_only_v1()"),
        migrations.RunSQL(
            TRIGGERS,
            "DROP TRIGGER ledger_rows_never_change ON core_auditevent;"
            "DROP TRIGGER ledger_is_never_emptied ON core_auditevent",
        ),
        migrations.RunSQL(VACUUM, migrations.RunSQL.noop),
    ]
