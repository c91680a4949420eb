CREATE EXTENSION pg_trgm;
CREATE EXTENSION citext;
CREATE TABLE users (id bigint PRIMARY KEY, email citext);
