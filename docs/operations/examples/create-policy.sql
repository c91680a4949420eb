CREATE TABLE documents (id bigint PRIMARY KEY, owner name NOT NULL DEFAULT current_user, body text);
CREATE POLICY own_documents ON documents USING (owner = current_user);
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
