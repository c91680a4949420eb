CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(20), paid_at timestamp, amount numeric(10,2));
CREATE VIEW amounts AS SELECT id, amount FROM orders;
