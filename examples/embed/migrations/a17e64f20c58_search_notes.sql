-- whimbrel:migration
-- id: a17e64f20c58
-- revises: 3c5a90d1e7b4
-- message: make notes searchable
-- created: 2026-05-18T16:30:00Z
-- whimbrel:upgrade
CREATE VIRTUAL TABLE notes_index USING fts5 (text, content = 'notes', content_rowid = 'id');

CREATE TRIGGER notes_are_indexed AFTER INSERT ON notes
BEGIN
    INSERT INTO notes_index (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER notes_leave_the_index AFTER DELETE ON notes
BEGIN
    INSERT INTO notes_index (notes_index, rowid, text) VALUES ('delete', old.id, old.text);
END;

-- The notes that are there already.
INSERT INTO notes_index (notes_index) VALUES ('rebuild');
-- whimbrel:downgrade
DROP TRIGGER notes_leave_the_index;
DROP TRIGGER notes_are_indexed;
DROP TABLE notes_index;
