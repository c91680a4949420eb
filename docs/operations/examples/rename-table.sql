CREATE TABLE users (id bigint PRIMARY KEY, email text);
CREATE TABLE clients (id bigint PRIMARY KEY);
