-- What is running or stuck, and at which row? psql -f docs/running-or-stuck.sql
-- Run it in the schema the five tables live in (spec.database.schema; public by default). It reads only.
--
-- A line per step, undo, restore or purge that was begun and has come to no end; a line for each lane of a backfill. `state`: `running`, with what it waits for if it waits; or
-- `stuck`, where no runner is at work on this database: start the migration again, it goes on from `rows_done`.
-- `last_key` is the key of the last row a lane has finished; `silent_for` the time since the last sign of life.
-- The two numbers are the halves of the advisory lock that every runner holds: 0x7a616e697468, `zanith` in ASCII.
SELECT step.migration_id, step.step_index, step.operation_kind,
       CASE
           WHEN NOT EXISTS (SELECT FROM pg_locks
                            WHERE locktype = 'advisory' AND granted AND objsubid = 1
                              AND classid = 31329 AND objid = 1852404840
                              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
               THEN 'stuck: no runner is at work'
           WHEN place.waiting IS NOT NULL THEN 'running, waits: ' || place.waiting
           WHEN place.throttled IS NOT NULL THEN 'running, throttled: ' || place.throttled
           ELSE 'running'
       END AS state,
       place.rows_done, place.rows_estimated, place.lane, place.last_key,
       date_trunc('second', now() - step.started_at) AS since,
       date_trunc('second', now() - place.updated_at) AS silent_for,
       step.error AS last_error
FROM (
    SELECT DISTINCT ON (s.migration_id, s.step_index, k.about) s.*,
           CASE
               WHEN s.operation_kind IN ('restoreColumn', 'restoreTable') THEN -3
               WHEN EXISTS (SELECT FROM _zanith_migration_checkpoints AS undo
                            WHERE (undo.migration_id, undo.step_index, undo.lane) = (s.migration_id, s.step_index, -2))
                   THEN -2
               ELSE -1
           END AS cursor_lane -- of a restore, of taking a step back, of the step itself
    FROM _zanith_migration_steps AS s
    -- Restores and purges are not attempts at the step: they are told beside it.
    CROSS JOIN LATERAL (SELECT s.operation_kind IN ('restoreColumn', 'restoreTable', 'purgeArtifact')) AS k (about)
    ORDER BY s.migration_id, s.step_index, k.about, s.started_at DESC
) AS step
LEFT JOIN LATERAL (
    -- The lanes of what goes through rows; where there is none, or none yet, the statement cursor.
    SELECT c.lane, c.updated_at, c.processed_rows AS rows_done, (c.cursor ->> 'estimated')::bigint AS rows_estimated,
           c.cursor ->> 'last' AS last_key, c.cursor ->> 'throttled' AS throttled,
           max(c.cursor ->> 'waiting') FILTER (WHERE c.lane = step.cursor_lane) OVER () AS waiting,
           c.cursor ? 'last' AS walks, bool_or(c.cursor ? 'last') OVER () AS any_walks
    FROM _zanith_migration_checkpoints AS c
    WHERE (c.migration_id, c.step_index) = (step.migration_id, step.step_index)
      AND (c.lane = step.cursor_lane
           OR step.cursor_lane = -1 AND c.lane >= 0
           OR step.cursor_lane < -1 AND c.lane <= 100 * step.cursor_lane AND c.lane > 100 * step.cursor_lane - 100)
) AS place ON place.walks = place.any_walks
WHERE step.status IN ('running', 'interrupted')
ORDER BY step.started_at, step.migration_id, step.step_index, place.lane;
