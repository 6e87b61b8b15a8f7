-- whimbrel:migration
-- id: 91f7c20e6d3b
-- revises: 80d3a46f7be9
-- depends-on: 5b61d9f4a3c8
-- message: list the owners of projects by family name
-- created: 2026-04-29T09:00:00Z
-- whimbrel:upgrade
CREATE VIEW project_owners AS
SELECT projects.code, projects.status, users.family_name, users.given_name, users.email
FROM projects
JOIN users ON users.id = projects.owner_id;
-- whimbrel:downgrade
DROP VIEW project_owners;
