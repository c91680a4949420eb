"""The resource `ZanithMigration`: names, spec, status, conditions, and the CRD made from them."""
