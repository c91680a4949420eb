-- What is the archive costing in bytes, and when does it go? psql -f docs/archive-cost.sql
-- Run it in the schema the five tables live in (spec.database.schema; public by default). It reads only.
--
-- A line per artifact whose data is still there, the biggest first, and `of_all` bytes altogether. A table of its own is
-- measured; a soft-dropped column shares its table, so its bytes are estimated from the statistics of the last ANALYZE
-- (NULL where there are none, or this role may not see them). Nothing goes by itself but under `expiryPolicy: Purge`.
SELECT kept.id, kept.artifact_type, kept.row_count, kept.bytes, pg_size_pretty(kept.bytes) AS size,
       sum(kept.bytes) OVER () AS of_all,
       kept.created_at,
       CASE
           WHEN kept.restored_at IS NOT NULL THEN 'restored; this is what is left of it'
           WHEN kept.expires_at IS NULL THEN 'never'
           WHEN kept.expires_at <= now() THEN 'expired, kept until it is purged'
           ELSE 'in ' || date_trunc('minute', kept.expires_at - now())
       END AS goes,
       kept.expires_at
FROM (
    SELECT a.*,
           CASE
               WHEN a.artifact_type = 'soft_drop_column' THEN (
                   SELECT sum(greatest(t.reltuples, 0) * (1 - s.null_frac) * s.avg_width)::bigint
                   FROM pg_stats AS s
                   JOIN pg_namespace AS n ON n.nspname = s.schemaname
                   JOIN pg_class AS t ON t.relnamespace = n.oid AND t.relname = s.tablename
                   WHERE s.schemaname = a.source_schema AND s.tablename = a.source_table
                     AND s.attname = a.physical_name)
               ELSE (
                   SELECT pg_total_relation_size(t.oid) + coalesce((
                       SELECT sum(pg_total_relation_size(part.relid))
                       FROM pg_partition_tree(t.oid) AS part
                       WHERE part.relid <> t.oid), 0)::bigint
                   FROM pg_class AS t
                   JOIN pg_namespace AS n ON n.oid = t.relnamespace
                   WHERE t.relname = a.physical_name
                     AND n.nspname = CASE a.artifact_type WHEN 'soft_drop_table' THEN a.source_schema
                                                          ELSE '_zanith_shadow' END)
           END AS bytes
    FROM _zanith_migration_artifacts AS a
    WHERE a.physical_name IS NOT NULL
      -- What was restored is in use again; of an archived column the copy stays, for values whose rows are gone.
      AND (a.restored_at IS NULL OR a.artifact_type = 'archive_column')
) AS kept
ORDER BY kept.bytes DESC NULLS LAST, kept.created_at;
