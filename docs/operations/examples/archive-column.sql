CREATE TABLE users (id bigint PRIMARY KEY, email text, legacy_code text);
CREATE TABLE visits (page text, seen integer);
INSERT INTO users SELECT n, 'user' || n || '@example.org', 'code ' || n FROM generate_series(1, 1000) n;
