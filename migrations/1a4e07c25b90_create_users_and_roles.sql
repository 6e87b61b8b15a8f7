-- whimbrel:migration
-- id: 1a4e07c25b90
-- message: create users and roles
-- created: 2026-03-02T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE users (
    id bigint PRIMARY KEY,
    full_name text NOT NULL,
    email text NOT NULL UNIQUE,
    postal_address text,
    created_on date NOT NULL
);

CREATE TABLE roles (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE user_roles (
    user_id bigint NOT NULL REFERENCES users (id),
    role_id bigint NOT NULL REFERENCES roles (id),
    PRIMARY KEY (user_id, role_id)
);

INSERT INTO roles (id, name) VALUES
    (1, 'administrator'),
    (2, 'program manager'),
    (3, 'project manager'),
    (4, 'contributor');
-- whimbrel:downgrade
DROP TABLE user_roles;
DROP TABLE roles;
DROP TABLE users;
