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
       d.description AS comment, c.relreplident AS replica_identity,
       ARRAY(
           SELECT k.number::int
           FROM pg_index AS x, unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) AS k (number)
           WHERE x.indrelid = c.oid AND x.indisvalid AND x.indimmediate
             AND CASE c.relreplident WHEN 'd' THEN x.indisprimary WHEN 'i' THEN x.indisreplident END
       ) AS replica_numbers
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
       ) END AS further_numbers,
       x.relname AS needed_index, e.description AS comment
FROM pg_constraint AS k
LEFT JOIN pg_constraint AS parent ON parent.oid = k.conparentid
LEFT JOIN pg_class AS f ON f.oid = k.confrelid
LEFT JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
LEFT JOIN pg_class AS x ON x.oid = k.conindid AND k.contype = 'f'
LEFT JOIN pg_description AS e ON e.objoid = k.oid AND e.classoid = 'pg_constraint'::regclass AND e.objsubid = 0
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
       ) AS further_numbers, e.description AS comment
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_description AS e ON e.objoid = c.oid AND e.classoid = 'pg_class'::regclass AND e.objsubid = 0
WHERE i.indrelid = ANY(%(tables)s)
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'));

-- name: index_uses
-- Of every index: how often it was scanned since statistics were reset (what pg_stat_user_indexes shows), whether it is
-- its table's replica identity, and the index of a partitioned table it belongs to.
SELECT i.indrelid AS table_oid, n.nspname AS schema, c.relname AS name, pg_stat_get_numscans(c.oid) AS scans,
       i.indisreplident AS replica_identity, pn.nspname AS parent_schema, p.relname AS parent_name
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits AS h ON h.inhrelid = c.oid
LEFT JOIN pg_class AS p ON p.oid = h.inhparent
LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE i.indrelid = ANY(%(tables)s);

-- name: triggers
-- Triggers of the users', and our own with their function and one argument (the bytes before a zero); bit 16 of tgtype
-- is UPDATE, and only O and A fire in an ordinary session.
SELECT t.tgrelid AS table_oid, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition,
       t.tgenabled IN ('O', 'A') AS enabled, t.tgtype & 16 <> 0 AS on_update, t.tgfoid AS function_oid,
       p.proname AS function, t.tgparentid <> 0 AS inherited,
       CASE WHEN t.tgnargs = 1
            THEN convert_from(substring(t.tgargs FOR octet_length(t.tgargs) - 1), getdatabaseencoding())
       END AS argument, e.description AS comment
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
LEFT JOIN pg_description AS e ON e.objoid = t.oid AND e.classoid = 'pg_trigger'::regclass AND e.objsubid = 0
WHERE t.tgrelid = ANY(%(tables)s) AND NOT t.tgisinternal;

-- name: policies
-- Row-level security policies; role 0 is PUBLIC.
SELECT p.polrelid AS table_oid, p.polname AS name, p.polcmd AS command, p.polpermissive AS permissive,
       ARRAY(
           SELECT coalesce(r.rolname, 'public')::text
           FROM unnest(p.polroles) AS u (oid) LEFT JOIN pg_roles AS r ON r.oid = u.oid
       ) AS roles,
       p.polqual IS NOT NULL AS has_using, pg_get_expr(p.polqual, p.polrelid) AS using,
       p.polwithcheck IS NOT NULL AS has_with_check, pg_get_expr(p.polwithcheck, p.polrelid) AS with_check,
       e.description AS comment
FROM pg_policy AS p
LEFT JOIN pg_description AS e ON e.objoid = p.oid AND e.classoid = 'pg_policy'::regclass AND e.objsubid = 0
WHERE p.polrelid = ANY(%(tables)s);

-- name: enums
-- Labels of enum types in order.
SELECT n.nspname AS schema, t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels,
       obj_description(t.oid, 'pg_type') AS comment
FROM pg_enum AS e
JOIN pg_type AS t ON t.oid = e.enumtypid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
GROUP BY t.oid, n.nspname, t.typname;

-- name: volatile_functions
-- Names of functions with at least one VOLATILE overload, wherever they are.
SELECT DISTINCT proname AS name FROM pg_proc WHERE provolatile = 'v' AND prokind <> 'p';

-- name: mutable_functions
-- Names of functions that are IMMUTABLE in none of their overloads, wherever they are.
SELECT proname AS name FROM pg_proc WHERE prokind = 'f' GROUP BY proname HAVING bool_and(provolatile <> 'i');

-- name: table_rules
-- Rules on tables (CREATE RULE), by the tables whose columns they use.
SELECT d.refobjid AS table_oid, 'rule ' || quote_ident(r.rulename) || ' on ' || r.ev_class::regclass AS words,
       array_agg(DISTINCT d.refobjsubid) AS numbers
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('r', 'p')
JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
GROUP BY 1, 2
ORDER BY 2;

-- name: other_relations
-- What shares its names with tables and is neither table, index nor view.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('S', 'f', 'c') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';

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
       pg_get_viewdef(c.oid) AS definition, c.reloptions AS options, d.description AS comment
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('v', 'm')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e');

-- name: sequences
-- Sequences that belong to columns: serial and identity.
SELECT d.refobjid AS table_oid, c.relname AS name, d.refobjsubid AS number, d.deptype = 'i' AS of_identity,
       format_type(s.seqtypid, NULL) AS type, s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum,
       s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle
FROM pg_depend AS d
JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
JOIN pg_sequence AS s ON s.seqrelid = c.oid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(%(tables)s)
  AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i');

-- name: extensions
-- What is installed, apart from plpgsql, which every database has from the start; with the names of its functions.
SELECT e.extname AS name, n.nspname AS schema, e.extversion AS version,
       ARRAY(
           SELECT DISTINCT p.proname::text
           FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
           WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
             AND d.deptype = 'e'
       ) AS functions
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql';

-- name: extension_tables
-- Tables that belong to an extension.
SELECT n.nspname AS schema, c.relname AS name, e.extname AS extension
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid
JOIN pg_class AS c ON c.oid = d.objid AND c.relkind IN ('r', 'p')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

-- name: available_extensions
-- What CREATE EXTENSION can install, every version of it.
SELECT v.name, v.version, v.version = a.default_version AS is_default, v.schema, v.requires,
       v.superuser AND NOT v.trusted AS untrusted
FROM pg_available_extension_versions AS v
JOIN pg_available_extensions AS a ON a.name = v.name;

-- name: dependents
-- What keeps a table or an extension from being dropped: objects that need it, or something that goes with it, and do
-- not go themselves. Views, foreign keys and policies are among them; of another extension's objects only it itself is.
WITH RECURSIVE anchors (extension, table_oid, classid, objid) AS (
    SELECT NULL::name, t.oid, 'pg_class'::regclass::oid, t.oid FROM unnest(%(tables)s::oid[]) AS t (oid)
    UNION ALL
    SELECT e.extname, NULL, 'pg_extension'::regclass, e.oid FROM pg_extension AS e WHERE e.extname <> 'plpgsql'
), owned (extension, table_oid, classid, objid) AS (
    SELECT extension, table_oid, classid, objid FROM anchors
    UNION
    SELECT o.extension, o.table_oid, d.classid, d.objid
    FROM owned AS o
    JOIN pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.objsubid = 0
                       AND d.deptype IN ('a', 'i', 'e', 'x', 'P', 'S')
), users (extension, table_oid, classid, objid, objsubid, numbers) AS (
    SELECT o.extension, o.table_oid, d.classid, d.objid, d.objsubid,
           array_agg(DISTINCT d.refobjsubid) FILTER (
               WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = o.table_oid AND d.refobjsubid > 0)
    FROM owned AS o
    JOIN pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.deptype = 'n'
    WHERE NOT EXISTS (
        SELECT FROM owned AS s
        WHERE s.classid = d.classid AND s.objid = d.objid
          AND (s.extension IS NOT DISTINCT FROM o.extension AND s.table_oid IS NOT DISTINCT FROM o.table_oid
               OR s.extension IS NOT NULL AND o.extension IS NOT NULL AND s.classid <> 'pg_extension'::regclass))
    GROUP BY o.extension, o.table_oid, d.classid, d.objid, d.objsubid
)
SELECT u.extension, u.table_oid, i.type, i.identity, u.numbers, n.nspname AS schema, c.relname AS name,
       c.relkind IN ('v', 'm') AS is_view, k.contype = 'f' AS is_foreign_key, a.attname AS column, p.polname AS policy
FROM users AS u
CROSS JOIN LATERAL pg_identify_object(u.classid, u.objid, u.objsubid) AS i
LEFT JOIN pg_constraint AS k ON u.classid = 'pg_constraint'::regclass AND k.oid = u.objid
LEFT JOIN pg_attrdef AS f ON u.classid = 'pg_attrdef'::regclass AND f.oid = u.objid
LEFT JOIN pg_trigger AS t ON u.classid = 'pg_trigger'::regclass AND t.oid = u.objid
LEFT JOIN pg_policy AS p ON u.classid = 'pg_policy'::regclass AND p.oid = u.objid
LEFT JOIN pg_rewrite AS r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
LEFT JOIN pg_index AS x ON u.classid = 'pg_class'::regclass AND x.indexrelid = u.objid
LEFT JOIN pg_class AS c ON c.oid = coalesce(
    k.conrelid, f.adrelid, t.tgrelid, p.polrelid, r.ev_class, x.indrelid,
    CASE WHEN u.classid = 'pg_class'::regclass THEN u.objid END)
LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = coalesce(f.adnum, nullif(u.objsubid, 0))
ORDER BY i.type, i.identity;

-- name: publications
-- Publications, and the schemas they publish as a whole.
SELECT p.oid, p.pubname AS name, p.puballtables AS all_tables, p.pubupdate AS updates,
       ARRAY(
           SELECT n.nspname::text
           FROM pg_publication_namespace AS s JOIN pg_namespace AS n ON n.oid = s.pnnspid
           WHERE s.pnpubid = p.oid
       ) AS schemas
FROM pg_publication AS p;

-- name: publication_tables
-- Tables that publications name, with column lists and row filters.
SELECT r.prpubid AS publication_oid, r.prrelid AS table_oid,
       ARRAY(SELECT u.number::int FROM unnest(r.prattrs::int2[]) AS u (number)) AS numbers,
       pg_get_expr(r.prqual, r.prrelid) AS row_filter
FROM pg_publication_rel AS r;

-- name: around
-- Who replicates from here, as far as the role may see it, and the roles there are.
SELECT (SELECT count(*) FROM pg_stat_replication WHERE state IN ('startup', 'catchup', 'streaming')) AS standbys,
       ARRAY(SELECT rolname::text FROM pg_roles) AS roles;

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

-- name: builtin_functions
-- Functions that came with PostgreSQL and are VOLATILE in none of their overloads. Oids below 16384 are initdb's.
SELECT proname AS name
FROM pg_proc
WHERE oid < 16384 AND pronamespace = 'pg_catalog'::regnamespace
GROUP BY proname
HAVING bool_and(provolatile <> 'v');

-- name: other_functions
-- All other functions and procedures; trusted are an extension's that are not VOLATILE.
SELECT n.nspname AS schema, p.proname AS name,
       bool_and(p.provolatile <> 'v' AND EXISTS (
           SELECT FROM pg_depend AS d
           WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')) AS trusted
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname <> 'information_schema' AND NOT (n.nspname = 'pg_catalog' AND p.oid < 16384)
GROUP BY n.nspname, p.proname;

-- name: known_operators
-- Operators whose every overload came with PostgreSQL or an extension.
SELECT o.oprname AS name
FROM pg_operator AS o
GROUP BY o.oprname
HAVING bool_and(o.oid < 16384 OR EXISTS (
    SELECT FROM pg_depend AS d WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'));

-- name: ruled_tables
-- Tables with rules, and the command of each.
SELECT n.nspname AS schema, c.relname AS name, r.ev_type AS command
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';

-- name: inheritance
-- Tables that inherit from others, partitions left out.
SELECT i.inhparent AS parent_oid, i.inhrelid AS child_oid
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE c.relkind = 'r' AND NOT c.relispartition;

-- name: typed_tables
-- Tables that have their columns from a composite type (CREATE TABLE ... OF).
SELECT tn.nspname AS type_schema, t.typname AS type_name, n.nspname AS schema, c.relname AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_type AS t ON t.oid = c.reloftype
JOIN pg_namespace AS tn ON tn.oid = t.typnamespace;
