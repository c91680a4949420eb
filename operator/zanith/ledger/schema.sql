-- The five tables. Created idempotently, under the advisory lock, in the schema of spec.database.schema,
-- which is first on the search_path when this runs. Every statement is one the runner executes on its own.

CREATE TABLE IF NOT EXISTS _zanith_migrations (
    id text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS _zanith_migration_steps (
    migration_id text NOT NULL,
    step_index int NOT NULL,
    operation_kind text NOT NULL,
    sql text NOT NULL,
    risk_level text NOT NULL,
    risk_score int NOT NULL,
    status text NOT NULL,
    error text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (migration_id, step_index, started_at)
);

CREATE UNIQUE INDEX IF NOT EXISTS _zanith_migration_steps_one_running
    ON _zanith_migration_steps (migration_id, step_index) WHERE status = 'running';

CREATE TABLE IF NOT EXISTS _zanith_schema_snapshots (
    migration_id text NOT NULL,
    phase text NOT NULL,
    graph jsonb NOT NULL,
    captured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (migration_id, phase)
);

CREATE TABLE IF NOT EXISTS _zanith_migration_artifacts (
    id text PRIMARY KEY,
    migration_id text NOT NULL,
    artifact_type text NOT NULL,
    source_schema text NOT NULL,
    source_table text NOT NULL,
    source_column text,
    physical_name text,
    row_count bigint,
    checksum text,
    recovery_sql text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    restored_at timestamptz
);

CREATE TABLE IF NOT EXISTS _zanith_migration_checkpoints (
    migration_id text NOT NULL,
    step_index int NOT NULL,
    lane int NOT NULL,
    cursor jsonb NOT NULL,
    processed_rows bigint NOT NULL DEFAULT 0,
    status text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (migration_id, step_index, lane)
);
