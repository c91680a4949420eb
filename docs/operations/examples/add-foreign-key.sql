CREATE TABLE users (id bigint PRIMARY KEY, email text);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);
CREATE INDEX orders_user_id_idx ON orders (user_id);
INSERT INTO users SELECT n FROM generate_series(1, 1000) n;
INSERT INTO orders SELECT n, n FROM generate_series(1, 1000) n;
