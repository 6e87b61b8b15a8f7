-- whimbrel:migration
-- id: 3f7b62a9d415
-- revises: 2c93f1d08e47
-- message: create resources and resource assignments
-- created: 2026-03-16T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE resources (
    id bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('person', 'room', 'equipment')),
    name text NOT NULL,
    user_id bigint REFERENCES users (id),
    hourly_rate numeric(8, 2) NOT NULL DEFAULT 0,
    CHECK ((kind = 'person') = (user_id IS NOT NULL))
);

CREATE TABLE resource_assignments (
    id bigint PRIMARY KEY,
    resource_id bigint NOT NULL REFERENCES resources (id),
    project_id bigint NOT NULL REFERENCES projects (id),
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    percent integer NOT NULL CHECK (percent BETWEEN 1 AND 100),
    CHECK (starts_on <= ends_on)
);
-- whimbrel:downgrade
DROP TABLE resource_assignments;
DROP TABLE resources;
