"""What only the database can promise: acceptances never change, an appeal names who decided first, numbers count up."""

from django.db import migrations

FIRST_DECIDER = """
CREATE FUNCTION accounts_first_decider_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.first_decider_id IS DISTINCT FROM (SELECT applied_by_id FROM accounts_measure WHERE id = NEW.measure_id) THEN
        RAISE EXCEPTION 'an appeal names who decided first' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER an_appeal_names_who_decided_first BEFORE INSERT OR UPDATE ON accounts_appeal
    FOR EACH ROW EXECUTE FUNCTION accounts_first_decider_v1();
"""
FIRST_DECIDER_BACK = """
DROP TRIGGER an_appeal_names_who_decided_first ON accounts_appeal;
DROP FUNCTION accounts_first_decider_v1();
"""
APPEND_ONLY = "CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON accounts_acceptance FOR EACH ROW EXECUTE FUNCTION append_only_v1();"
APPEND_ONLY_BACK = "DROP TRIGGER rows_never_change ON accounts_acceptance;"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_who_is_who"), ("core", "0002_append_only")]

    operations = [
        migrations.RunSQL(FIRST_DECIDER, FIRST_DECIDER_BACK),
        migrations.RunSQL(APPEND_ONLY, APPEND_ONLY_BACK),
        migrations.RunSQL("CREATE SEQUENCE accounts_number", "DROP SEQUENCE accounts_number"),
    ]
