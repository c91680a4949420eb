-- name: shape
-- The columns of tables named like the five, to tell ours from others'.
SELECT c.relname, array_agg(a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
GROUP BY c.relname;

-- name: applied
-- When the migration was applied, if it was.
SELECT applied_at FROM {migrations} WHERE id = %(id)s;

-- name: attempts
-- Attempts of its steps, oldest first, without their SQL; of a refusal only the first line, which names the plan.
SELECT migration_id, step_index, operation_kind, risk_level, risk_score, status, error, started_at, finished_at,
       CASE WHEN status = 'failed' THEN substring(sql FROM '^-- plan ([^\n]*)') END AS refused_plan
FROM (
    SELECT * FROM {steps}
    WHERE migration_id = %(id)s AND operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact')
    ORDER BY started_at DESC LIMIT 5000
) AS newest
ORDER BY step_index, started_at;

-- name: checkpoints
-- Its statement cursors (lane -1) and key ranges.
SELECT step_index, lane, cursor, processed_rows, status, updated_at
FROM {checkpoints}
WHERE migration_id = %(id)s
ORDER BY step_index, lane
LIMIT 5000;

-- name: artifacts
-- What it kept.
SELECT id, migration_id, artifact_type, source_schema, source_table, source_column, physical_name, row_count,
       checksum, recovery_sql, created_at, expires_at, restored_at
FROM {artifacts}
WHERE migration_id = %(id)s
ORDER BY created_at, id
LIMIT 5000;

-- name: snapshots
-- The frozen plan and the summary; never the whole graph.
SELECT phase, graph, captured_at
FROM {snapshots}
WHERE migration_id = %(id)s AND phase IN ('plan', 'summary');
