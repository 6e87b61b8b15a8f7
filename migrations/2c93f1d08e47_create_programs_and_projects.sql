-- whimbrel:migration
-- id: 2c93f1d08e47
-- revises: 1a4e07c25b90
-- message: create programs and projects
-- created: 2026-03-09T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE programs (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    sponsor_id bigint NOT NULL REFERENCES users (id)
);

CREATE TABLE projects (
    id bigint PRIMARY KEY,
    program_id bigint REFERENCES programs (id),
    owner_id bigint NOT NULL REFERENCES users (id),
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    starts_on date NOT NULL,
    ends_on date,
    budget numeric(14, 2) NOT NULL DEFAULT 0,
    checksum text
);
-- whimbrel:downgrade
DROP TABLE projects;
DROP TABLE programs;
