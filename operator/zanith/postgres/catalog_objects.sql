-- The part of the catalog's queries that is about types, sequences, functions and what belongs to views. As in
-- catalog.sql: in one transaction, with search_path = pg_catalog, and without a privilege on anything of the users'.

-- name: view_indexes
-- Indexes of materialised views; which columns they are on is not asked.
SELECT i.indrelid AS view_oid, c.relname AS name, pg_get_indexdef(c.oid) AS definition, i.indisunique AS unique,
       i.indisvalid AS valid, e.description AS comment
FROM pg_index AS i
JOIN pg_class AS v ON v.oid = i.indrelid AND v.relkind = 'm'
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_description AS e ON e.objoid = c.oid AND e.classoid = 'pg_class'::regclass AND e.objsubid = 0;

-- name: view_triggers
-- Triggers of views.
SELECT t.tgrelid AS view_oid, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition,
       t.tgenabled IN ('O', 'A') AS enabled, t.tgtype & 16 <> 0 AS on_update, e.description AS comment
FROM pg_trigger AS t
JOIN pg_class AS v ON v.oid = t.tgrelid AND v.relkind = 'v'
LEFT JOIN pg_description AS e ON e.objoid = t.oid AND e.classoid = 'pg_trigger'::regclass AND e.objsubid = 0
WHERE NOT t.tgisinternal;

-- name: functions
-- Functions of the users', with what identifies and defines them. Only of those whose source is text nothing else says
-- what they name: SQL-standard bodies are tracked, and their definition is printed from a tree.
SELECT p.oid, n.nspname AS schema, p.proname AS name, p.prosrc AS source,
       l.lanname NOT IN ('c', 'internal') AND p.prosrc <> '' AS has_source, p.prosqlbody IS NOT NULL AS is_printed,
       array_to_string(ARRAY(
           SELECT format_type(a.type, NULL)
           FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, position) ORDER BY a.position
       ), ', ') AS arguments,
       p.prokind AS kind, l.lanname AS language, e.description AS comment,
       CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE concat_ws(
           ' ', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.proparallel, g.aggkind,
           g.aggtransfn::regprocedure, g.aggfinalfn::regprocedure, g.aggcombinefn::regprocedure,
           g.aggserialfn::regprocedure, g.aggdeserialfn::regprocedure, g.aggmtransfn::regprocedure,
           g.aggminvtransfn::regprocedure, g.aggmfinalfn::regprocedure, g.aggfinalextra, g.aggmfinalextra,
           g.aggfinalmodify, g.aggmfinalmodify, g.aggsortop::regoperator, format_type(g.aggtranstype, NULL),
           g.aggtransspace, format_type(nullif(g.aggmtranstype, 0), NULL), g.aggmtransspace,
           quote_nullable(g.agginitval), quote_nullable(g.aggminitval)
       ) END AS definition
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
LEFT JOIN pg_aggregate AS g ON g.aggfnoid = p.oid
LEFT JOIN pg_description AS e ON e.objoid = p.oid AND e.classoid = 'pg_proc'::regclass AND e.objsubid = 0
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');

-- name: domains
-- Domains of the users'.
SELECT t.oid, n.nspname AS schema, t.typname AS name, format_type(t.typbasetype, t.typtypmod) AS type,
       t.typnotnull AS not_null, t.typdefaultbin IS NOT NULL AS has_default, pg_get_expr(t.typdefaultbin, 0) AS default,
       CASE WHEN t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END AS collation,
       e.description AS comment
FROM pg_type AS t
JOIN pg_type AS b ON b.oid = t.typbasetype
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_description AS e ON e.objoid = t.oid AND e.classoid = 'pg_type'::regclass AND e.objsubid = 0
WHERE t.typtype = 'd' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e');

-- name: domain_checks
-- CHECKs of domains. That one is NOT NULL is a constraint too from PostgreSQL 18 on, and the type's own flag on all.
SELECT k.contypid AS domain_oid, k.conname AS name, pg_get_constraintdef(k.oid) AS definition,
       k.convalidated AS validated, e.description AS comment
FROM pg_constraint AS k
LEFT JOIN pg_description AS e ON e.objoid = k.oid AND e.classoid = 'pg_constraint'::regclass AND e.objsubid = 0
WHERE k.contypid <> 0 AND k.contype = 'c';

-- name: free_sequences
-- Sequences that belong to no column.
SELECT n.nspname AS schema, c.relname AS name, c.relpersistence AS persistence, format_type(s.seqtypid, NULL) AS type,
       s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache,
       s.seqcycle AS cycle, e.description AS comment
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_description AS e ON e.objoid = c.oid AND e.classoid = 'pg_class'::regclass AND e.objsubid = 0
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_zanith_shadow')
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
        AND (d.deptype = 'e' OR d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0));
