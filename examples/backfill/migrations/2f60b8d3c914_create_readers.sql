-- whimbrel:migration
-- id: 2f60b8d3c914
-- message: create readers
-- created: 2026-06-01T09:00:00Z
-- whimbrel:upgrade
CREATE TABLE readers (
    id bigint PRIMARY KEY,
    email text NOT NULL,
    phone text NOT NULL,
    phone_key text
);

-- Twenty thousand readers, as they wrote themselves down.
INSERT INTO readers (id, email, phone)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
SELECT
    i,
    CASE i % 4 WHEN 0 THEN 'Reader' || i || '@Example.ORG ' ELSE 'reader' || i || '@example.org' END,
    CASE i % 3
        WHEN 0 THEN '+31 20 ' || (100000 + i)
        WHEN 1 THEN '020-' || (100000 + i)
        ELSE '0031 (0)20 ' || (100000 + i)
    END
FROM n;
UPDATE readers SET phone = 'ask Marie' WHERE id = 17011;

-- whimbrel:downgrade
DROP TABLE readers;
