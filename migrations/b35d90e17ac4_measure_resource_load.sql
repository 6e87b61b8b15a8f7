-- whimbrel:migration
-- id: b35d90e17ac4
-- revises: a2b84e5d07f3
-- message: measure the load of resources
-- created: 2026-05-11T09:00:00Z
-- whimbrel:upgrade
CREATE INDEX assignments_by_resource ON resource_assignments (resource_id, starts_on, ends_on);

CREATE VIEW resource_load AS
SELECT resources.id AS resource_id, resources.name, users.city,
       count(resource_assignments.id) AS assignments,
       coalesce(sum(resource_assignments.percent), 0) AS percent
FROM resources
LEFT JOIN users ON users.id = resources.user_id
LEFT JOIN resource_assignments ON resource_assignments.resource_id = resources.id
GROUP BY resources.id, resources.name, users.city;
-- whimbrel:downgrade
DROP VIEW resource_load;
DROP INDEX assignments_by_resource;
