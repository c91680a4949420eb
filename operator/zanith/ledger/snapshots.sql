-- name: shape
-- One snapshot of the schema.
SELECT s.migration_id, s.phase, s.captured_at, s.graph
FROM {snapshots} s
WHERE s.migration_id = %(id)s AND s.phase = %(phase)s;

-- name: latest_shape
-- The last snapshot of the schema that was taken at or before a moment.
SELECT s.migration_id, s.phase, s.captured_at, s.graph
FROM {snapshots} s
WHERE s.phase IN ('after', 'baseline') AND s.captured_at <= %(at)s
ORDER BY s.captured_at DESC, s.phase, s.migration_id DESC
LIMIT 1;

-- name: first_shape
-- The first snapshot of the schema there is.
SELECT s.migration_id, s.phase, s.captured_at
FROM {snapshots} s
WHERE s.phase IN ('after', 'baseline')
ORDER BY s.captured_at, s.phase DESC, s.migration_id
LIMIT 1;

-- name: shapes
-- Every snapshot of the schema, by name alone.
SELECT s.migration_id, s.phase
FROM {snapshots} s
WHERE s.phase IN ('after', 'baseline')
ORDER BY s.captured_at, s.migration_id;

-- name: known
-- Whether a migration of this id began, or was refused.
SELECT EXISTS (SELECT FROM {steps} t WHERE t.migration_id = %(id)s)
    OR EXISTS (SELECT FROM {snapshots} s WHERE s.migration_id = %(id)s AND s.phase = 'plan');

-- name: changed_since
-- Migrations that worked on the database between a snapshot and a later moment: of its own, only when taken back. With
-- when a snapshot of it was overwritten after that moment: it was taken back and applied again.
SELECT DISTINCT t.migration_id, (
    SELECT s.captured_at
    FROM {snapshots} s
    WHERE s.migration_id = t.migration_id AND s.phase = 'after' AND s.captured_at > %(at)s
      AND EXISTS (
          SELECT FROM {steps} r
          WHERE r.migration_id = s.migration_id AND r.status = 'reverted'
            AND r.finished_at BETWEEN %(captured_at)s AND s.captured_at)
) AS overwritten_at
FROM {steps} t
WHERE t.started_at <= %(at)s
  AND (t.finished_at IS NULL OR t.finished_at > %(captured_at)s)
  AND NOT (t.status = 'failed' AND starts_with(t.error, %(refused)s))
  AND (t.migration_id <> %(id)s OR %(phase)s <> 'after' OR t.status = 'reverted')
ORDER BY t.migration_id;
