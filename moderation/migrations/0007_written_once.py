"""Extracted texts, shadow verdicts and evaluations only grow; a policy's rules change only while it is a draft."""

from django.db import migrations

TABLES = ("moderation_extractedtext", "moderation_shadowverdict", "moderation_evaluation")
FORWARD = "".join(
    f"CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION append_only_v1();\n"
    for t in TABLES
)
BACK = "".join(f"DROP TRIGGER rows_never_change ON {t};\n" for t in TABLES)
POLICY = """
CREATE FUNCTION policy_rules_are_fixed_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'draft' THEN
            RAISE EXCEPTION 'a policy that left the draft stays' USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state <> 'draft' AND (NEW.rules IS DISTINCT FROM OLD.rules OR NEW.number <> OLD.number
                                 OR NEW.revision <> OLD.revision) THEN
        RAISE EXCEPTION 'the rules of a policy change only while it is a draft' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policy_rules_are_fixed BEFORE UPDATE OR DELETE ON moderation_policyversion
    FOR EACH ROW EXECUTE FUNCTION policy_rules_are_fixed_v1();
"""
POLICY_BACK = """
DROP TRIGGER policy_rules_are_fixed ON moderation_policyversion;
DROP FUNCTION policy_rules_are_fixed_v1();
"""


class Migration(migrations.Migration):
    dependencies = [("moderation", "0006_screening")]

    operations = [migrations.RunSQL(FORWARD, BACK), migrations.RunSQL(POLICY, POLICY_BACK)]
