-- Questions about locks and sessions. None of them waits, none locks a table of the users'.

-- name: try_run_lock
-- The lock that makes a runner the only one of its database; held by the session.
SELECT pg_try_advisory_lock(%(key)s) AS locked;

-- name: holds_run_lock
-- Whether this very session holds it; a key of eight bytes is shown as two halves.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.granted AND l.mode = 'ExclusiveLock'
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.classid::bigint = %(key)s >> 32 AND l.objid::bigint = %(key)s & 4294967295 AND l.objsubid = 1
) AS held;

-- name: lower_attempts
-- Sessions of a resource's attempts before this one, lanes included.
SELECT a.pid, a.application_name
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND starts_with(a.application_name, %(prefix)s)
  AND CASE
      WHEN split_part(a.application_name, ':', 3) ~ '^[0-9]{1,9}$'
      THEN split_part(a.application_name, ':', 3)::int < %(attempt)s
      ELSE false
  END
ORDER BY a.pid;

-- name: terminate
-- Ends a session if it still has the name it was found by.
SELECT pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = %(pid)s AND a.application_name = %(application_name)s;

-- name: table_locks
-- Locks of other transactions in these modes, held or waited for, on these tables and on their partitions and children.
-- Of roles we are not a member of, begin and kind of the session are hidden; an autovacuum worker is then known by having
-- no role, and one that works against wraparound (and yields to nobody) by the age of its table.
WITH RECURSIVE family (oid) AS (
    SELECT c.oid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname || '.' || c.relname = ANY(%(tables)s) AND c.relkind IN ('r', 'p', 'm')
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN family ON family.oid = i.inhparent
)
SELECT l.pid, l.virtualtransaction AS transaction, l.mode, l.granted, n.nspname AS schema, c.relname AS name,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s,
       a.backend_type IS NOT DISTINCT FROM 'autovacuum worker'
           OR (a.backend_type IS NULL AND a.usesysid IS NULL AND a.datid IS NOT NULL) AS autovacuum,
       CASE
           WHEN a.backend_type IS NULL
           THEN age(c.relfrozenxid) > current_setting('autovacuum_freeze_max_age')::int
                OR mxid_age(c.relminmxid) > current_setting('autovacuum_multixact_freeze_max_age')::int
           ELSE a.query LIKE '%%(to prevent wraparound)'
       END AS against_wraparound
FROM family
JOIN pg_catalog.pg_locks AS l ON l.relation = family.oid
JOIN pg_catalog.pg_class AS c ON c.oid = family.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = ANY(%(modes)s) AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
ORDER BY l.pid, n.nspname, c.relname, l.mode;

-- name: index_state
-- An index by schema and name.
SELECT c.oid, tn.nspname AS table_schema, t.relname AS table_name, i.indisvalid AS valid, i.indisready AS ready
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: index_oids
-- The indexes of a table.
SELECT i.indexrelid AS oid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
WHERE n.nspname = %(schema)s AND t.relname = %(table)s
ORDER BY i.indexrelid;

-- name: index_builders
-- Sessions that may be building this index: those that say so, and whoever holds the lock a concurrent build keeps on
-- the table from beginning to end, unless it is seen to vacuum or analyse. What others build is hidden from us, locks
-- are not.
SELECT p.pid
FROM pg_catalog.pg_stat_progress_create_index AS p
WHERE p.index_relid = %(index)s AND p.pid <> pg_backend_pid()
UNION
SELECT l.pid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_locks AS l ON l.relation = i.indrelid
WHERE i.indexrelid = %(index)s AND l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
  AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = l.pid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_analyze AS z WHERE z.pid = l.pid);
