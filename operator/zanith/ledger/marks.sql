-- name: marks
-- Of some migrations what others than their own Job may change: applied or taken back; kept, restored or purged; until when.
SELECT asked.id, m.applied_at, coalesce(a.artifacts, 0), coalesce(a.restored, 0), coalesce(a.purged, 0),
       a.first_expiry, a.last_expiry
FROM unnest(%(ids)s::text[]) AS asked (id)
LEFT JOIN {migrations} AS m ON m.id = asked.id
LEFT JOIN (
    SELECT migration_id, count(*) AS artifacts, count(restored_at) AS restored,
           count(*) - count(physical_name) AS purged, min(expires_at) AS first_expiry, max(expires_at) AS last_expiry
    FROM {artifacts}
    WHERE migration_id = ANY(%(ids)s)
    GROUP BY migration_id
) AS a ON a.migration_id = asked.id;
