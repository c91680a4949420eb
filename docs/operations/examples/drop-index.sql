CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
INSERT INTO users SELECT n, 'user' || n || '@example.org' FROM generate_series(1, 1000) n;
CREATE INDEX users_email_idx ON users (email);
