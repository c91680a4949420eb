"""What the Job runs: the runner, its backfills and probes. Knows Postgres and the ledger; neither kopf nor Kubernetes."""
