-- A table that carries these triggers only grows: whoever tries to change or remove a row gets an error, also by TRUNCATE.
CREATE OR REPLACE FUNCTION append_only_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
