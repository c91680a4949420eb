-- The catalog, in a fixed number of queries. They run in one REPEATABLE READ transaction with search_path = pg_catalog,
-- so that PostgreSQL prints every name of the users' with its schema. Nothing here needs a privilege on a user's table.

-- name: identity
-- Which database this is: the same whatever address it is reached by.
SELECT s.system_identifier::text AS system_identifier, d.oid, d.datname AS name
FROM pg_control_system() AS s, pg_database AS d
WHERE d.datname = current_database();

-- name: server
-- The schema of the migration, if it exists, and the server's version.
SELECT current_setting('server_version_num')::int AS version,
       EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s) AS schema_exists;

-- name: tables
-- Tables of the users', ordinary and partitioned; not those of an extension. Sizes of a table dropped meanwhile are NULL.
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relpersistence AS persistence,
       c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
       c.reltuples AS tuples, pg_total_relation_size(c.oid) AS bytes, pg_relation_size(c.oid) AS heap_bytes,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
       pg_get_expr(c.relpartbound, c.oid) AS partition_bound,
       pn.nspname AS parent_schema, p.relname AS parent_name,
       d.description AS comment
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class AS p ON p.oid = i.inhparent
LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('r', 'p')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e');

-- name: columns
-- Columns in attribute order. From PostgreSQL 18 a column may be marked NOT NULL before its rows were checked.
SELECT a.attrelid AS table_oid, a.attnum AS number, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_constraint AS k
           WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated
       ) AS not_null,
       d.oid IS NOT NULL AS has_default, pg_get_expr(d.adbin, d.adrelid) AS default,
       a.attidentity AS identity, a.attgenerated AS generated,
       CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation,
       c.description AS comment
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_description AS c ON c.objoid = a.attrelid AND c.classoid = 'pg_class'::regclass AND c.objsubid = a.attnum
WHERE a.attrelid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum;

-- name: constraints
-- Constraints of tables. A foreign key to a partitioned table has copies for its partitions: those are left out.
SELECT k.conrelid AS table_oid, k.conname AS name, k.contype AS type, pg_get_constraintdef(k.oid) AS definition,
       k.convalidated AS validated, k.conkey AS numbers, fn.nspname AS foreign_schema, f.relname AS foreign_name,
       CASE WHEN k.contype = 'x' THEN ARRAY(
           SELECT d.refobjsubid FROM pg_depend AS d
           WHERE d.classid = 'pg_class'::regclass AND d.objid = k.conindid
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid = k.conrelid AND d.refobjsubid > 0
       ) END AS further_numbers
FROM pg_constraint AS k
LEFT JOIN pg_constraint AS parent ON parent.oid = k.conparentid
LEFT JOIN pg_class AS f ON f.oid = k.confrelid
LEFT JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
WHERE k.conrelid = ANY(%(tables)s) AND k.contype IN ('p', 'u', 'c', 'f', 'x', 'n')
  AND (parent.oid IS NULL OR k.contype <> 'f' OR parent.confrelid = k.confrelid);

-- name: indexes
-- Indexes that are not a constraint's own; key columns (0: an expression) and all columns they depend on otherwise.
SELECT i.indrelid AS table_oid, c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition,
       i.indisunique AS unique, i.indisvalid AS valid,
       (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers,
       ARRAY(
           SELECT d.refobjsubid FROM pg_depend AS d
           WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0
       ) AS further_numbers
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY(%(tables)s)
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'));

-- name: triggers
-- Triggers of the users'; bit 16 of tgtype is UPDATE, and only O and A fire in an ordinary session.
SELECT t.tgrelid AS table_oid, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition,
       t.tgenabled IN ('O', 'A') AS enabled, t.tgtype & 16 <> 0 AS on_update
FROM pg_trigger AS t
WHERE t.tgrelid = ANY(%(tables)s) AND NOT t.tgisinternal;

-- name: policies
-- Row-level security policies; role 0 is PUBLIC.
SELECT p.polrelid AS table_oid, p.polname AS name, p.polcmd AS command, p.polpermissive AS permissive,
       ARRAY(
           SELECT coalesce(r.rolname, 'public')::text
           FROM unnest(p.polroles) AS u (oid) LEFT JOIN pg_roles AS r ON r.oid = u.oid
       ) AS roles,
       p.polqual IS NOT NULL AS has_using, pg_get_expr(p.polqual, p.polrelid) AS using,
       p.polwithcheck IS NOT NULL AS has_with_check, pg_get_expr(p.polwithcheck, p.polrelid) AS with_check
FROM pg_policy AS p
WHERE p.polrelid = ANY(%(tables)s);

-- name: enums
-- Labels of enum types in order.
SELECT n.nspname AS schema, t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_enum AS e
JOIN pg_type AS t ON t.oid = e.enumtypid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
GROUP BY n.nspname, t.typname;

-- name: volatile_functions
-- Names of functions with at least one VOLATILE overload, wherever they are.
SELECT DISTINCT proname AS name FROM pg_proc WHERE provolatile = 'v' AND prokind <> 'p';

-- name: constrained_domains
-- Domains with a constraint of their own or of a domain below them; `short` is the name without the schema, where an
-- unqualified name would find it.
WITH RECURSIVE chain (domain, part) AS (
    SELECT oid, oid FROM pg_type WHERE typtype = 'd'
    UNION
    SELECT chain.domain, base.oid
    FROM chain
    JOIN pg_type AS part ON part.oid = chain.part
    JOIN pg_type AS base ON base.oid = part.typbasetype AND base.typtype = 'd'
)
SELECT DISTINCT format_type(t.oid, NULL) AS name,
       CASE WHEN n.nspname IN (%(schema)s, 'public') THEN quote_ident(t.typname) END AS short
FROM chain
JOIN pg_type AS t ON t.oid = chain.domain
JOIN pg_type AS p ON p.oid = chain.part
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname <> 'information_schema'
  AND (p.typnotnull OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.contypid = p.oid));

-- name: view_dependencies
-- What views read: columns, or the relation alone (column '') where no column of it is used.
SELECT DISTINCT r.ev_class AS view_oid, n.nspname AS schema, t.relname AS name, coalesce(a.attname, '') AS column
FROM pg_rewrite AS r
JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.deptype = 'n'
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: views
-- Views of the users'. Asked last: PostgreSQL keeps a lock on every table a view reads until the transaction ends.
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind = 'm' AS materialized,
       pg_get_viewdef(c.oid) AS definition
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e');

-- name: exclusively_locked
-- A table that another session has locked so that not even its definition can be read.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^pg_'
ORDER BY l.granted DESC, n.nspname, c.relname
LIMIT 1;
