"""A published version of a document is never changed or removed (DS-08a)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("governance", "0002_documents"), ("core", "0002_append_only")]

    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON governance_documentversion"
            " FOR EACH ROW EXECUTE FUNCTION append_only_v1();",
            "DROP TRIGGER rows_never_change ON governance_documentversion;",
        ),
    ]
