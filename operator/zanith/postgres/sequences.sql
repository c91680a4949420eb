-- name: tables_named
-- Tables of this name: with their schema, or in the default one.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND (n.nspname || '.' || c.relname = %(name)s OR (n.nspname = %(schema)s AND c.relname = %(name)s));

-- name: owned
-- The sequences that belong to columns of a table: of serial ones ('a') and of identity ones ('i').
SELECT a.attname AS column, sn.nspname AS schema, s.relname AS name, q.seqincrement AS increment, q.seqmin AS least,
       q.seqmax AS greatest, q.seqcache AS cache
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
  AND d.deptype IN ('a', 'i') AND tn.nspname = %(schema)s AND t.relname = %(table)s
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
ORDER BY a.attnum, s.relname;
