-- whimbrel:migration
-- id: 1f0a6c3d5e92
-- message: create customers
-- created: 2026-06-01T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL
);

INSERT INTO customers (id, name, country) VALUES
    (1, 'Müller GmbH', 'Germany'),
    (2, 'Tulip Trading', 'the Netherlands'),
    (3, 'Sakura KK', 'JAPAN'),
    (4, 'Thames & Sons', 'U.K.'),
    (5, 'Acme', 'United States of America'),
    (6, 'Lost Cause', 'Atlantis');
-- whimbrel:downgrade
DROP TABLE customers;
