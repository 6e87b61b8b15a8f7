-- whimbrel:migration
-- id: 3a95d20e6b7f
-- revises: 2f60b8d3c914
-- message: write emails in lower case
-- created: 2026-06-02T09:00:00Z

-- whimbrel:backfill
-- keep: old-values
-- changed: again
UPDATE readers SET email = lower(trim(email)) WHERE email <> lower(trim(email));
