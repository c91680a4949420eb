-- Three questions to the five tables, in plain SQL: psql -f docs/post-mortem.sql
-- Run them in the schema the tables live in (spec.database.schema; public by default).

-- What broke this week? Failed steps of the last seven days, with the refusal reason.
SELECT migration_id, operation_kind, error, finished_at
FROM _zanith_migration_steps
WHERE status = 'failed'
AND finished_at > now() - interval '7 days'
ORDER BY finished_at DESC;

-- Which op kinds are slowest? Average duration per operation kind on this database.
SELECT operation_kind,
round(avg(extract(epoch FROM finished_at - started_at) * 1000)) AS avg_ms,
count(*) AS runs
FROM _zanith_migration_steps
WHERE status = 'done'
GROUP BY operation_kind
ORDER BY avg_ms DESC
LIMIT 10;

-- What's still recoverable? Live artifacts with no expiry. `zanith recover list` shows those with one too.
SELECT id, artifact_type, source_table, row_count, created_at
FROM _zanith_migration_artifacts
WHERE expires_at IS NULL
ORDER BY created_at DESC;
