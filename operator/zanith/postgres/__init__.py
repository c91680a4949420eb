"""PostgreSQL: connections, catalog reading, SQLSTATE to our errors, locks. The one border to psycopg's errors."""
