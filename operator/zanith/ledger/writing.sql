-- name: interrupt_leftovers
-- Attempts left running by a runner that died: only the holder of the advisory lock may say so.
UPDATE {steps} SET status = 'interrupted', finished_at = greatest(clock_timestamp(), started_at)
WHERE status = 'running';

-- name: start_attempt
-- A new attempt of a step; started_at strictly rising per step, whatever the clock does.
INSERT INTO {steps} (migration_id, step_index, operation_kind, sql, risk_level, risk_score, status, error, started_at)
SELECT %(migration_id)s, %(step_index)s, %(operation_kind)s, %(sql)s, %(risk_level)s, %(risk_score)s, 'running', NULL,
       greatest(clock_timestamp(), max(started_at) + interval '1 microsecond')
FROM {steps}
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s
RETURNING started_at;

-- name: finish_attempt
-- The one transition of an attempt; no row where somebody else has settled it.
UPDATE {steps} SET status = %(status)s, error = %(error)s, finished_at = greatest(clock_timestamp(), started_at)
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND started_at = %(started_at)s
  AND status = 'running';

-- name: record_refusal
-- A refusal: one row for the worst step, once per plan and retry value.
INSERT INTO {steps} (migration_id, step_index, operation_kind, sql, risk_level, risk_score, status, error,
                     started_at, finished_at)
SELECT %(migration_id)s, %(step_index)s, %(operation_kind)s, %(sql)s, %(risk_level)s, %(risk_score)s, 'failed',
       %(error)s, at, at
FROM (
    SELECT greatest(clock_timestamp(), max(started_at) + interval '1 microsecond') AS at
    FROM {steps}
    WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s
) AS moment
WHERE NOT EXISTS (
    SELECT FROM {steps}
    WHERE migration_id = %(migration_id)s AND status = 'failed' AND error = %(error)s
      AND starts_with(sql, %(first_line)s)
);

-- name: snapshot
-- A snapshot; the plan is replaced when steps are appended.
INSERT INTO {snapshots} (migration_id, phase, graph, captured_at)
VALUES (%(migration_id)s, %(phase)s, %(graph)s, clock_timestamp())
ON CONFLICT (migration_id, phase) DO UPDATE SET graph = excluded.graph, captured_at = excluded.captured_at;

-- name: has_baseline
-- Whether Zanith has met this database before.
SELECT EXISTS (SELECT FROM {snapshots} WHERE phase IN ('baseline', 'after'));

-- name: applied
-- The ledger of what ran.
INSERT INTO {migrations} (id, applied_at) VALUES (%(migration_id)s, clock_timestamp()) ON CONFLICT (id) DO NOTHING;

-- name: artifact
-- What was kept. A repeated id gets #2, #3, ...
INSERT INTO {artifacts} (id, migration_id, artifact_type, source_schema, source_table, source_column, physical_name,
                         row_count, checksum, recovery_sql, created_at, expires_at)
SELECT CASE WHEN count(*) = 0 THEN %(id)s ELSE %(id)s || '#' || (count(*) + 1) END, %(migration_id)s,
       %(artifact_type)s, %(source_schema)s, %(source_table)s, %(source_column)s, %(physical_name)s, %(row_count)s,
       %(checksum)s, %(recovery_sql)s, now(), now() + %(retention)s::interval
FROM {artifacts}
WHERE id = %(id)s OR starts_with(id, %(id)s || '#');

-- name: artifacts_inside
-- What is kept inside a table, now that the table has its new name; not what was kept in an earlier table of the old one.
SELECT a.id, a.recovery_sql
FROM {artifacts} AS a
WHERE a.source_schema = %(schema)s AND a.source_table = %(old)s AND a.source_column IS NOT NULL
  AND a.physical_name IS NOT NULL AND a.restored_at IS NULL
  AND (a.artifact_type <> 'soft_drop_column' OR EXISTS (
      SELECT FROM pg_catalog.pg_attribute AS c
      JOIN pg_catalog.pg_class AS t ON t.oid = c.attrelid
      JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
      WHERE n.nspname = %(schema)s AND t.relname = %(new)s AND c.attname = a.physical_name AND NOT c.attisdropped))
FOR UPDATE OF a;

-- name: move_artifact
-- Where it is found from now on. Its id stays: that is what it was called when it was kept.
-- Its checksum: that of the data, where there is one, and that of the new recovery SQL.
UPDATE {artifacts}
SET source_table = %(new)s, recovery_sql = %(recovery_sql)s, checksum = left(checksum, -32) || %(checksum)s || right(checksum, 16)
WHERE id = %(id)s;

-- name: seal_artifact
-- What is kept under a name and does not change any more; the checksum of the recovery SQL stays behind that of the data.
UPDATE {artifacts}
SET row_count = %(rows)s, checksum = %(digest)s || right(checksum, 32)
WHERE migration_id = %(migration_id)s AND physical_name = %(physical_name)s AND restored_at IS NULL;

-- name: artifacts_of
-- The newest artifact of each identifier, whatever became of it.
SELECT DISTINCT ON (w.identifier)
       a.id, a.migration_id, a.artifact_type, a.source_schema, a.source_table, a.source_column, a.physical_name,
       a.row_count, a.checksum, a.recovery_sql, a.created_at, a.expires_at, a.restored_at
FROM unnest(%(identifiers)s::text[]) AS w (identifier)
JOIN {artifacts} AS a ON a.id = w.identifier OR starts_with(a.id, w.identifier || '#')
WHERE a.migration_id = %(migration_id)s
ORDER BY w.identifier, a.created_at DESC, length(a.id) DESC, a.id DESC;

-- name: restored
-- What was kept is back where it was. It expires at once, so that nothing lists it as live.
UPDATE {artifacts} SET restored_at = clock_timestamp(), expires_at = coalesce(expires_at, now())
WHERE id = %(id)s AND restored_at IS NULL;

-- name: put_aside
-- What is left of a restored artifact, out of the way of one that is kept under the same name again.
UPDATE {artifacts} SET physical_name = %(physical_name)s WHERE id = %(id)s;

-- name: purged
-- What was kept is gone for good; the row stays to say so.
UPDATE {artifacts} SET physical_name = NULL, expires_at = coalesce(expires_at, now())
WHERE id = %(id)s;

-- name: create_checkpoint
-- A statement cursor or a key range, unless it is there.
INSERT INTO {checkpoints} (migration_id, step_index, lane, cursor, processed_rows, status, updated_at)
VALUES (%(migration_id)s, %(step_index)s, %(lane)s, %(cursor)s, 0, 'running', clock_timestamp())
ON CONFLICT (migration_id, step_index, lane) DO NOTHING;

-- name: read_checkpoint
-- Where a statement cursor or a key range stands.
SELECT step_index, lane, cursor, processed_rows, status, updated_at
FROM {checkpoints}
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND lane = %(lane)s;

-- name: move_checkpoint
-- Compare-and-set: no row where the cursor is not where we left it.
UPDATE {checkpoints} SET cursor = %(new)s, status = %(status)s, updated_at = clock_timestamp()
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND lane = %(lane)s AND cursor = %(old)s;

-- name: heartbeat
-- A sign of life during a long statement, from a session of its own; the cursor stays.
UPDATE {checkpoints} SET updated_at = clock_timestamp()
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND lane = -1;

-- name: forget_checkpoints
-- A step that was taken back begins anew when it is applied again.
DELETE FROM {checkpoints} WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s;

-- name: forget_walks
-- A walk whose work was taken back begins anew.
DELETE FROM {checkpoints}
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND lane = ANY (%(lanes)s);

-- name: forget_lanes
-- What a restore went by is of no use to another one.
DELETE FROM {checkpoints}
WHERE migration_id = %(migration_id)s AND step_index = %(step_index)s AND lane < %(below)s;

-- name: forget_applied
-- A migration of which a step was taken back is not applied any more.
DELETE FROM {migrations} WHERE id = %(migration_id)s;

-- name: grant_observer
-- The observer reads the five tables and nothing else.
GRANT SELECT ON {migrations}, {steps}, {snapshots}, {artifacts}, {checkpoints} TO zanith_observer;
