-- Take events out of the outbox and turn each into webhook deliveries (with their jobs) and jobs of the subscribers,
-- in one statement: an event is either still here or wholly passed on.
WITH taken AS (
    DELETE FROM core_outboxevent
     WHERE id IN (SELECT id FROM core_outboxevent ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED)
    RETURNING *
), delivered AS (
    INSERT INTO core_webhookdelivery (id, endpoint_id, topic, subject, body)
    SELECT gen_random_uuid(), endpoint.id, taken.topic, taken.subject,
           jsonb_build_object('type', taken.topic,
                              'timestamp', to_char(taken.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                              'data', taken.payload)::text
      FROM taken
      JOIN core_webhookendpoint AS endpoint
        ON endpoint.active
       AND (endpoint.service_id = taken.service_id OR taken.service_id IS NULL)
       AND (endpoint.topics = '[]'::jsonb OR endpoint.topics ? taken.topic)
     WHERE NOT starts_with(taken.topic, 'internal.')
    RETURNING id
), sending AS (
    INSERT INTO core_job (kind, subject, payload) SELECT 'webhook.deliver', id::text, '{}'::jsonb FROM delivered
), handing AS (
    INSERT INTO core_job (kind, subject, payload, request_id)
    SELECT subscription.kind, taken.subject,
           jsonb_build_object('topic', taken.topic, 'service_id', taken.service_id, 'data', taken.payload),
           taken.request_id
      FROM taken
      JOIN unnest(%(topics)s::text[], %(kinds)s::text[]) AS subscription(topic, kind) USING (topic)
)
SELECT count(*) FROM taken
