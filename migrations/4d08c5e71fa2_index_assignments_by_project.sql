-- whimbrel:migration
-- id: 4d08c5e71fa2
-- revises: 3f7b62a9d415
-- message: index assignments by project without blocking writers
-- created: 2026-03-23T09:00:00Z
-- transaction: false
-- whimbrel:upgrade
CREATE INDEX assignments_by_project ON resource_assignments (project_id, starts_on);
-- whimbrel:upgrade postgresql
CREATE INDEX CONCURRENTLY assignments_by_project ON resource_assignments (project_id, starts_on);
-- whimbrel:downgrade
DROP INDEX assignments_by_project;
-- whimbrel:downgrade postgresql
DROP INDEX CONCURRENTLY assignments_by_project;
