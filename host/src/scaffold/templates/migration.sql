-- whimbrel:migration
{{header}}
-- whimbrel:upgrade

-- whimbrel:downgrade
