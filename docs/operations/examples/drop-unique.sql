CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE, tax_number text UNIQUE);
CREATE TABLE invoices (id bigint PRIMARY KEY, tax_number text REFERENCES users (tax_number));
