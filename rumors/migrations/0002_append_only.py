"""Evidence, links, reports and case events only grow; a refutation never changes once it is published."""

from django.db import migrations

TABLES = ("rumors_casesubmission", "rumors_caseevidence", "rumors_authorityreport", "rumors_caseevent")
FORWARD = "".join(
    f"CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION append_only_v1();\n"
    for t in TABLES
)
BACK = "".join(f"DROP TRIGGER rows_never_change ON {t};\n" for t in TABLES)
PUBLISHED = """
CREATE TRIGGER published_rows_never_change BEFORE UPDATE OR DELETE ON rumors_refutation
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION append_only_v1();
"""


class Migration(migrations.Migration):
    dependencies = [("rumors", "0001_initial"), ("core", "0002_append_only")]

    operations = [
        migrations.RunSQL(FORWARD, BACK),
        migrations.RunSQL(PUBLISHED, "DROP TRIGGER published_rows_never_change ON rumors_refutation"),
    ]
