-- Adds what was counted to the hours of each key. A key that is gone by now is left out.
INSERT INTO accounts_keyusage (key_id, hour, calls, refused)
SELECT key.id, counted.hour, counted.calls, counted.refused
FROM unnest(%(keys)s::uuid[], %(hours)s::timestamptz[], %(calls)s::int[], %(refused)s::int[])
     AS counted (key_id, hour, calls, refused)
JOIN accounts_apikey key ON key.id = counted.key_id
ORDER BY key.id, counted.hour  -- two writers at once lock in one order
ON CONFLICT (key_id, hour) DO UPDATE
SET calls = accounts_keyusage.calls + EXCLUDED.calls, refused = accounts_keyusage.refused + EXCLUDED.refused
