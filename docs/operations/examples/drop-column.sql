CREATE TABLE users (id bigint PRIMARY KEY, email text, legacy_uuid uuid);
CREATE VIEW addresses AS SELECT id, email FROM users;
