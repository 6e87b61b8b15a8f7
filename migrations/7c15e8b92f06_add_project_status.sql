-- whimbrel:migration
-- id: 7c15e8b92f06
-- revises: 4d08c5e71fa2
-- message: add status to projects
-- created: 2026-04-08T09:00:00Z
-- whimbrel:upgrade
ALTER TABLE projects ADD COLUMN status text NOT NULL DEFAULT 'active';

UPDATE projects SET status = 'completed' WHERE ends_on < '2026-04-01';
UPDATE projects SET status = 'planned' WHERE starts_on > '2026-04-01';
-- whimbrel:downgrade
ALTER TABLE projects DROP COLUMN status;
