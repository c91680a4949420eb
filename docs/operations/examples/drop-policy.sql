CREATE TABLE documents (id bigint PRIMARY KEY, owner name NOT NULL DEFAULT current_user, body text);
CREATE POLICY own_documents ON documents USING (owner = current_user);
CREATE POLICY auditors_read ON documents FOR SELECT TO pg_monitor USING (true);
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
