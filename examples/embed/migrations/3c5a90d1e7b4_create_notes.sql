-- whimbrel:migration
-- id: 3c5a90d1e7b4
-- message: create notes
-- created: 2026-03-02T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE notes (
    id integer PRIMARY KEY,
    text text NOT NULL CHECK (text <> ''),
    written_at text NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- whimbrel:downgrade
DROP TABLE notes;
