-- The role the operator reads with, by way of a login role of yours. Run once per server, as a superuser or as a role
-- with CREATEROLE that is an admin of pg_read_all_stats; running it again changes nothing.
--
--   psql "$ADMIN_DSN" -v ON_ERROR_STOP=1 -f zanith_observer.sql
--   psql "$ADMIN_DSN" -c "CREATE ROLE shop_observer LOGIN PASSWORD '...' IN ROLE zanith_observer"
--
-- Its login goes into the Secret that spec.database.observerSecretRef names. The role reads the catalog and the
-- statistics. It cannot read a single row of yours, nor change anything; USAGE on the schema and SELECT on the five
-- tables are granted to it by the runner, once they are there. Without pg_read_all_stats, replication lag and the
-- activity of other sessions cannot be seen, and backfills go at half their rate.

DO $$
BEGIN
    CREATE ROLE zanith_observer NOLOGIN;
EXCEPTION
    WHEN duplicate_object THEN NULL;
END
$$;

GRANT pg_read_all_stats TO zanith_observer;

COMMENT ON ROLE zanith_observer IS 'Zanith operator: reads statistics, the catalog and the five tables; writes nothing';
