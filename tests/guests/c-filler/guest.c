// A backfill in C of the table `items`, which does as its peers in JavaScript and Python do: it reads `amount`, `runs` and
// `remark`, writes `doubled`, `runs` and `remark`, keeps rows whose amount ends in 0, and cannot work on remarks that are bad.

#include "backfill.h"
#include <stdlib.h>
#include <string.h>

typedef exports_whimbrel_migrate_rows_description_t description_t;
typedef exports_whimbrel_migrate_rows_batch_t batch_t;
typedef exports_whimbrel_migrate_rows_outcome_t outcome_t;
typedef exports_whimbrel_migrate_rows_verdict_t verdict_t;
typedef exports_whimbrel_migrate_rows_error_t error_t;
typedef whimbrel_migrate_types_column_data_t column_t;
typedef whimbrel_migrate_types_cells_t cells_t;

static void names(backfill_list_string_t *list, const char *const *texts, size_t count) {
  list->len = count;
  list->ptr = malloc(count * sizeof *list->ptr);
  for (size_t at = 0; at < count; at++) backfill_string_dup(&list->ptr[at], texts[at]);
}

bool exports_whimbrel_migrate_rows_describe(description_t *told, error_t *error) {
  static const char *const reads[] = {"amount", "runs", "remark"};
  static const char *const writes[] = {"doubled", "runs", "remark"};
  memset(told, 0, sizeof *told);
  backfill_string_dup(&told->table, "items");
  names(&told->reads, reads, 3);
  names(&told->writes, writes, 3);
  told->order = EXPORTS_WHIMBREL_MIGRATE_ROWS_ORDER_ASCENDING;
  told->changed.is_some = true;
  told->changed.val = EXPORTS_WHIMBREL_MIGRATE_ROWS_CHANGED_AGAIN;
  told->text = WHIMBREL_MIGRATE_TYPES_TEXT_FORM_CELLS;
  return true;
}

// Integers of PostgreSQL and of SQLite are not as wide as each other.
static int64_t integer(const column_t *column, size_t at) {
  return column->tag == WHIMBREL_MIGRATE_TYPES_COLUMN_DATA_INT32S ? column->val.int32s.ptr[at] : column->val.int64s.ptr[at];
}

static void set(column_t *column, size_t at, int64_t value) {
  if (column->tag == WHIMBREL_MIGRATE_TYPES_COLUMN_DATA_INT32S) column->val.int32s.ptr[at] = (int32_t)value;
  else column->val.int64s.ptr[at] = value;
}

static bool is_null(const backfill_list_u8_t *bits, size_t at) {
  return at / 8 < bits->len && bits->ptr[at / 8] >> at % 8 & 1;
}

// There is room for it.
static void append(cells_t *cells, const void *bytes, size_t length) {
  memcpy(cells->data.ptr + cells->data.len, bytes, length);
  cells->data.len += length;
}

static verdict_t verdict(int64_t amount, const uint8_t *remark, size_t length) {
  verdict_t verdict = {.tag = EXPORTS_WHIMBREL_MIGRATE_ROWS_VERDICT_WRITE};
  if (amount % 10 == 0) verdict.tag = EXPORTS_WHIMBREL_MIGRATE_ROWS_VERDICT_KEEP;
  if (length == 3 && memcmp(remark, "bad", 3) == 0) {
    verdict.tag = EXPORTS_WHIMBREL_MIGRATE_ROWS_VERDICT_FAIL;
    backfill_string_dup(&verdict.val.fail, "the remark is bad");
  }
  return verdict;
}

bool exports_whimbrel_migrate_rows_transform(batch_t *given, outcome_t *made, error_t *error) {
  static const char done[] = "done", more[] = ", done";
  size_t rows = given->rows;
  column_t *columns = given->columns.ptr;
  // A column of nulls alone may be of any kind.
  const cells_t *old = columns[2].tag == WHIMBREL_MIGRATE_TYPES_COLUMN_DATA_TEXTS ? &columns[2].val.texts : NULL;
  cells_t remarks = {.offsets = {malloc((rows + 1) * sizeof(uint32_t)), rows + 1}};
  remarks.data.ptr = malloc((old ? old->data.len : 0) + rows * sizeof more);
  made->verdicts.len = rows;
  made->verdicts.ptr = malloc(rows * sizeof *made->verdicts.ptr);

  for (size_t at = 0; at < rows; at++) {
    bool has_remark = old && !is_null(&given->nulls.ptr[2], at);
    const uint8_t *remark = has_remark ? old->data.ptr + old->offsets.ptr[at] : NULL;
    size_t length = has_remark ? old->offsets.ptr[at + 1] - old->offsets.ptr[at] : 0;
    int64_t amount = integer(&columns[0], at);
    made->verdicts.ptr[at] = verdict(amount, remark, length);
    set(&columns[0], at, amount * 2);
    set(&columns[1], at, integer(&columns[1], at) + 1);
    remarks.offsets.ptr[at] = remarks.data.len;
    if (has_remark) append(&remarks, remark, length);
    append(&remarks, has_remark ? more : done, has_remark ? sizeof more - 1 : sizeof done - 1);
  }
  remarks.offsets.ptr[rows] = remarks.data.len;

  // Two of the columns that were given are returned in their places.
  whimbrel_migrate_types_column_data_free(&columns[2]);
  columns[2] = (column_t){.tag = WHIMBREL_MIGRATE_TYPES_COLUMN_DATA_TEXTS, .val.texts = remarks};
  for (size_t at = 0; at < given->nulls.len; at++) {
    backfill_list_u8_free(&given->nulls.ptr[at]);
    given->nulls.ptr[at] = (backfill_list_u8_t){NULL, 0};
  }
  made->values = *given;
  return true;
}
