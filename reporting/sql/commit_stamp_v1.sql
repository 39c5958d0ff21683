-- Gives a table the column `xact`: the transaction that inserted the row. The default is stable, so that PostgreSQL
-- stamps the rows that are already there with this very transaction, without rewriting them or firing their triggers.
-- The column's comment names the cluster whose transaction numbers these are; a dump carries it along.
CREATE OR REPLACE FUNCTION reporting_commit_stamp_v1(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s DROP COLUMN IF EXISTS xact', target);
    EXECUTE format('ALTER TABLE %s ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id()', target);
    -- Used by scheduled bundles: the rows committed since the last one.
    EXECUTE format('CREATE INDEX %I ON %s (xact)', target::text || '_by_xact', target);
    EXECUTE format('COMMENT ON COLUMN %s.xact IS %L', target, (SELECT system_identifier::text FROM pg_control_system()));
END
$$;
