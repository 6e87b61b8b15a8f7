// A migration in C: a table, a row by parameters, and the same row read back.
// With the parameter `broken` its statement has a mistake, and the error goes to the host as it is.

#include "migration.h"
#include <string.h>

static migration_string_t borrowed(const char *text) {
  return (migration_string_t){(uint8_t *)text, strlen(text)};
}

static whimbrel_migrate_sql_value_t text(const char *text) {
  whimbrel_migrate_sql_value_t value = {.tag = WHIMBREL_MIGRATE_TYPES_VALUE_TEXT};
  value.val.text = borrowed(text);
  return value;
}

static bool execute(const char *sql, whimbrel_migrate_sql_value_t *params, size_t count, migration_error_t *error) {
  migration_string_t statement = borrowed(sql);
  whimbrel_migrate_sql_list_value_t list = {params, count};
  int64_t touched;
  return whimbrel_migrate_sql_execute(&statement, &list, &touched, error);
}

static bool is_set(const char *name) {
  migration_string_t key = borrowed(name), json;
  bool found = whimbrel_migrate_context_parameter(&key, &json);
  if (found) migration_string_free(&json);
  return found;
}

bool exports_migration_upgrade(migration_error_t *error) {
  if (is_set("broken") && !execute("SELEKT 1", NULL, 0, error)) return false;
  if (!execute("CREATE TABLE waders (id bigint PRIMARY KEY, name text NOT NULL)", NULL, 0, error)) return false;

  whimbrel_migrate_sql_value_t row[2] = {{.tag = WHIMBREL_MIGRATE_TYPES_VALUE_INT64}, text("whimbrel")};
  row[0].val.int64 = 1;
  if (!execute("INSERT INTO waders VALUES ($1, $2)", row, 2, error)) return false;

  migration_string_t query = borrowed("SELECT name FROM waders");
  whimbrel_migrate_sql_list_value_t none = {NULL, 0};
  whimbrel_migrate_sql_row_set_t found;
  if (!whimbrel_migrate_sql_query(&query, &none, &found, error)) return false;
  whimbrel_migrate_log_write(WHIMBREL_MIGRATE_LOG_LEVEL_INFO, &found.rows.ptr[0].ptr[0].val.text);
  whimbrel_migrate_sql_row_set_free(&found);
  return true;
}

bool exports_migration_downgrade(migration_error_t *error) {
  return execute("DROP TABLE waders", NULL, 0, error);
}
