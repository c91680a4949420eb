-- Which migrations were riskiest? psql -f docs/riskiest-migrations.sql
-- Run it in the schema the five tables live in (spec.database.schema; public by default). It reads only.
--
-- By their worst step, then by the sum over their steps. Each step counts once, as it was judged last; one that was
-- refused counts too, and `outcome` says so.
SELECT step.migration_id,
       max(step.risk_score) AS worst_score,
       (array_agg(step.risk_level ORDER BY step.risk_score DESC, step.step_index))[1] AS worst_level,
       (array_agg(step.operation_kind ORDER BY step.risk_score DESC, step.step_index))[1] AS worst_kind,
       sum(step.risk_score) AS total_score,
       count(*) AS steps,
       CASE
           WHEN m.id IS NOT NULL THEN 'applied'
           WHEN bool_or(step.status = 'failed' AND starts_with(step.error, 'refused — ')) THEN 'refused'
           WHEN bool_or(step.status = 'failed') THEN 'failed'
           WHEN bool_or(step.status = 'reverted') THEN 'reverted'
           ELSE 'not applied yet'
       END AS outcome,
       m.applied_at
FROM (
    SELECT DISTINCT ON (migration_id, step_index) *
    FROM _zanith_migration_steps
    WHERE operation_kind NOT IN ('restoreColumn', 'restoreTable', 'purgeArtifact')
    ORDER BY migration_id, step_index, started_at DESC
) AS step
LEFT JOIN _zanith_migrations AS m ON m.id = step.migration_id
GROUP BY step.migration_id, m.id, m.applied_at
ORDER BY worst_score DESC, total_score DESC, step.migration_id
LIMIT 20;
