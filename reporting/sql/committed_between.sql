-- Rows committed after the previous bundle of the chain and up to this one's snapshot (the transaction's own). What lies
-- before is everything that `base` saw, and what a bundle made late (`previous`, cut at `previous_cut`) took of the rest.
-- The first line only lets the index on xact serve: whatever `base` did not see is not older than its xmin.
x.xact >= pg_snapshot_xmin(%(base)s::pg_snapshot)
AND pg_visible_in_snapshot(x.xact, %(now)s::pg_snapshot)
AND NOT pg_visible_in_snapshot(x.xact, %(base)s::pg_snapshot)
AND NOT (pg_visible_in_snapshot(x.xact, %(previous)s::pg_snapshot) AND x.at < %(previous_cut)s::timestamptz)
AND x.at < %(cut)s::timestamptz
