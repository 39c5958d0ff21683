-- The next number of this Shanghai year. The row stays locked until the caller's transaction ends, so that openings wait
-- for each other and a rolled-back one gives its number back: no number is skipped or given twice.
INSERT INTO rumors_casenumber AS counter (year, last)
VALUES (extract(year FROM statement_timestamp() AT TIME ZONE 'Asia/Shanghai')::int, 1)
ON CONFLICT (year) DO UPDATE SET last = counter.last + 1
RETURNING year, last;
