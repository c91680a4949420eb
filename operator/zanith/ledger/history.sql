-- name: count_applied
-- How many migrations the query `applied` returns.
SELECT count(*)
FROM {migrations} m
WHERE (%(id)s::text IS NULL OR m.id = %(id)s)
  AND (%(since)s::interval IS NULL OR m.applied_at > now() - %(since)s::interval);

-- name: applied
-- Applied migrations, oldest first, the attempts of their steps as arrays in order of (step, start). Never the SQL.
-- Sorted before the rest is looked up (OFFSET 0 keeps it so), so that rows come at once and nothing big is sorted.
SELECT m.id, m.applied_at,
       a.steps, a.kinds, a.levels, a.scores, a.statuses, a.errors, a.started, a.finished,
       (s.graph ->> 'models')::bigint AS models,
       (s.graph ->> 'relations')::bigint AS relations,
       s.captured_at
FROM (
    SELECT o.id, o.applied_at
    FROM {migrations} o
    WHERE (%(id)s::text IS NULL OR o.id = %(id)s)
      AND (%(since)s::interval IS NULL OR o.applied_at > now() - %(since)s::interval)
    ORDER BY o.applied_at, o.id
    OFFSET 0
) m
CROSS JOIN LATERAL (
    SELECT array_agg(o.step_index) AS steps,
           array_agg(o.operation_kind) AS kinds,
           array_agg(o.risk_level) AS levels,
           array_agg(o.risk_score) AS scores,
           array_agg(o.status) AS statuses,
           array_agg(o.error) AS errors,
           array_agg(o.started_at) FILTER (WHERE %(times)s) AS started,
           array_agg(o.finished_at) FILTER (WHERE %(times)s) AS finished
    FROM (
        SELECT t.step_index, t.operation_kind, t.risk_level, t.risk_score, t.status, t.error,
               t.started_at, t.finished_at
        FROM {steps} t
        WHERE t.migration_id = m.id AND %(steps)s
          AND (%(recoveries)s OR t.operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact'))
        ORDER BY t.step_index, t.started_at
    ) o
) a
LEFT JOIN LATERAL (
    SELECT n.graph, n.captured_at
    FROM {snapshots} n
    WHERE n.migration_id = m.id AND n.phase = 'summary' AND %(steps)s
    OFFSET 0
) s ON true
ORDER BY m.applied_at, m.id;

-- name: unfinished
-- Migrations that began, or were refused, and are not applied, in order of their first sign.
WITH signs AS (
    SELECT t.migration_id AS id, t.started_at AS at
    FROM {steps} t
    WHERE NOT EXISTS (SELECT FROM {migrations} m WHERE m.id = t.migration_id)
      AND t.operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact')
    UNION ALL
    SELECT s.migration_id, s.captured_at
    FROM {snapshots} s
    WHERE s.phase = 'plan' AND NOT EXISTS (SELECT FROM {migrations} m WHERE m.id = s.migration_id)
)
SELECT g.id
FROM signs g
WHERE %(id)s::text IS NULL OR g.id = %(id)s
GROUP BY g.id
HAVING %(since)s::interval IS NULL OR max(g.at) > now() - %(since)s::interval
ORDER BY min(g.at), g.id;

-- name: not_applied
-- The attempts of the given migrations, as in `applied`, and (kind, risk levels) of the steps of their frozen plans.
SELECT u.id,
       a.steps, a.kinds, a.levels, a.scores, a.statuses, a.errors, a.started, a.finished,
       p.kinds AS planned_kinds, p.levels AS planned_levels
FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS u (id, place)
CROSS JOIN LATERAL (
    SELECT array_agg(o.step_index) AS steps,
           array_agg(o.operation_kind) AS kinds,
           array_agg(o.risk_level) AS levels,
           array_agg(o.risk_score) AS scores,
           array_agg(o.status) AS statuses,
           array_agg(o.error) AS errors,
           array_agg(o.started_at) AS started,
           array_agg(o.finished_at) AS finished
    FROM (
        SELECT t.step_index, t.operation_kind, t.risk_level, t.risk_score, t.status, t.error,
               t.started_at, t.finished_at
        FROM {steps} t
        WHERE t.migration_id = u.id
          AND (%(recoveries)s OR t.operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact'))
        ORDER BY t.step_index, t.started_at
    ) o
) a
LEFT JOIN {snapshots} s ON s.migration_id = u.id AND s.phase = 'plan'
CROSS JOIN LATERAL (
    SELECT array_agg(e.step ->> 'kind' ORDER BY e.place) AS kinds,
           array_agg(
               (SELECT string_agg(f.finding ->> 'level', ' ')
                FROM jsonb_array_elements(e.step -> 'findings') AS f (finding))
               ORDER BY e.place
           ) AS levels
    FROM jsonb_array_elements(s.graph #> '{{plan,steps}}') WITH ORDINALITY AS e (step, place)
) p
ORDER BY u.place;

-- name: applied_among
-- Which of the given migrations are applied, and the digests of the steps they were applied with.
SELECT m.id, s.graph -> 'digests'
FROM {migrations} m
LEFT JOIN {snapshots} s ON s.migration_id = m.id AND s.phase = 'plan'
WHERE m.id = ANY (%(ids)s);

-- name: applied_owners
-- Which of the given resources began a migration that is applied.
SELECT DISTINCT s.graph #>> '{{owner,name}}'
FROM {migrations} m
JOIN {snapshots} s ON s.migration_id = m.id AND s.phase = 'plan'
WHERE s.graph #>> '{{owner,name}}' = ANY (%(names)s);

-- name: last_applied
-- The migration applied last.
SELECT m.id, m.applied_at
FROM {migrations} m
ORDER BY m.applied_at DESC, m.id DESC
LIMIT 1;

-- name: rows_moved
-- Rows the backfills of the given migrations have changed, and are expected to change, per step.
SELECT c.migration_id, c.step_index, sum(c.processed_rows)::bigint, sum((c.cursor ->> 'estimated')::bigint)::bigint
FROM {checkpoints} c
WHERE c.migration_id = ANY (%(ids)s) AND c.lane >= 0
GROUP BY c.migration_id, c.step_index;

-- name: kept
-- Artifacts, newest first; without `everything`, those that still hold data and were not restored. Sizes are those of
-- tables of their own, partitions included: what a soft-dropped column takes cannot be told from the rest of its table.
SELECT a.id, a.migration_id, a.artifact_type, a.source_schema, a.source_table, a.source_column, a.physical_name,
       a.row_count, size.bytes AS size, a.created_at, a.expires_at, a.restored_at, now() AS now,
       a.restored_at IS NULL AND a.physical_name IS NOT NULL
       AND CASE a.artifact_type
           WHEN 'soft_drop_column' THEN NOT EXISTS (
               SELECT FROM pg_attribute col
               JOIN pg_class t ON t.oid = col.attrelid
               JOIN pg_namespace s ON s.oid = t.relnamespace
               WHERE s.nspname = a.source_schema AND t.relname = a.source_table
                 AND col.attname = a.physical_name AND NOT col.attisdropped)
           ELSE size.found IS NULL END AS missing
FROM {artifacts} a
LEFT JOIN LATERAL (
    SELECT c.oid AS found, pg_total_relation_size(c.oid)
           + coalesce((SELECT sum(pg_total_relation_size(part.relid))
                       FROM pg_partition_tree(c.oid) AS part
                       WHERE part.relid <> c.oid), 0)::bigint AS bytes
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = CASE a.artifact_type WHEN 'soft_drop_table' THEN a.source_schema ELSE '_zanith_shadow' END
      AND c.relname = a.physical_name
      AND (a.artifact_type = 'archive_column'
           OR a.artifact_type <> 'soft_drop_column' AND a.restored_at IS NULL)
) AS size ON true
WHERE (%(everything)s OR (a.restored_at IS NULL AND a.physical_name IS NOT NULL))
  AND (%(id)s::text IS NULL OR a.migration_id = %(id)s)
ORDER BY a.created_at DESC, a.id;

-- name: artifacts_named
-- Artifacts of what is called so, newest first: a table, or a column of one, with its schema or in the default one.
SELECT a.id, a.migration_id, a.artifact_type, a.source_schema, a.source_table, a.source_column, a.physical_name,
       a.row_count, a.checksum, a.recovery_sql, a.created_at, a.expires_at, a.restored_at
FROM {artifacts} a
WHERE concat_ws('.', a.source_schema, a.source_table, a.source_column) = %(name)s
   OR (a.source_schema = %(schema)s AND concat_ws('.', a.source_table, a.source_column) = %(name)s)
ORDER BY a.created_at DESC, length(a.id) DESC, a.id DESC;

-- name: names_kept
-- What there are artifacts of.
SELECT DISTINCT concat_ws('.', a.source_schema, a.source_table, a.source_column) AS name
FROM {artifacts} a
ORDER BY name
LIMIT 1000;

-- name: done_steps
-- Migrations with steps that are done and were not taken back since, and how many; the one that was worked on last first.
-- By the clock of their last steps: a migration of which some steps were taken back is no longer in the list of applied
-- ones, and is still the last.
SELECT o.migration_id, count(*)::int AS steps
FROM (
    SELECT DISTINCT ON (t.migration_id, t.step_index) t.migration_id, t.status, t.started_at
    FROM {steps} t
    WHERE t.status IN ('done', 'reverted')
      AND t.operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact')
    ORDER BY t.migration_id, t.step_index, t.started_at DESC
) o
WHERE o.status = 'done'
GROUP BY o.migration_id
ORDER BY max(o.started_at) DESC, o.migration_id DESC;
