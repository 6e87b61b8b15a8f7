//! What a component may try while it runs.

use std::time::{Duration, Instant};

use whimbrel::engine::Aftermath;
use whimbrel_tests::{Database, on_every_database};

use super::module::component;
use crate::faults::{after, told};
use crate::staging::{Folder, engine, id, ledger, up};

/// A busy machine may be slow, but no attack may make it wait.
const DEADLINE: Duration = Duration::from_secs(30);

fn folder(component: Vec<u8>, limits: &str) -> Folder {
    Folder::default()
        .table("a", "")
        .component_of(
            "b",
            "a",
            component,
            &format!("[capabilities]\nddl = [\"create table t_b\"]\n[limits]\n{limits}\n"),
        )
        .table("c", "b")
}

/// Runs an attack that must fail with what `says` is a part of, be undone, and leave the next migration its way.
async fn fails(db: &Database, attack: &str, more: &str, limits: &str, says: &str) {
    let start = Instant::now();
    let failure = up(&engine(db, folder(component(attack, more), limits)), "head")
        .await
        .unwrap_err();
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
    assert_eq!(
        failure.aftermath,
        Aftermath::RolledBack(id("b")),
        "{failure:?}"
    );
    let text = told(&*failure.cause);
    assert!(text.contains(says), "`{text}` does not say `{says}`");
    assert_eq!(ledger(db).await, ["a upgrade done", "b upgrade failed"]);
    after(db, &["a"], &engine(db, folder(component("", ""), ""))).await;
}

/// Runs what looks like an attack and is harmless.
async fn passes(db: &Database, attack: &str, more: &str, limits: &str) {
    let start = Instant::now();
    let sound = || engine(db, folder(component(attack, more), limits));
    up(&sound(), "b").await.unwrap();
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
    after(db, &["a", "b"], &sound()).await;
}

/// One entry an attack: its name, what `upgrade` does after its first statement, what else the module has, its limits,
/// and a part of the verdict; or `is harmless`.
macro_rules! attacks {
    (@verdict $db:ident $attack:literal $more:expr, $limits:expr, harmless) => {
        passes(&$db, $attack, $more, $limits).await
    };
    (@verdict $db:ident $attack:literal $more:expr, $limits:expr, $says:literal) => {
        fails(&$db, $attack, $more, $limits, $says).await
    };
    ($($name:ident: $attack:literal $(with $more:literal)? $([$limits:literal])? => $says:tt;)+) => {
        on_every_database! {$(
            async fn $name(db: Database) {
                attacks!(@verdict db $attack concat!($($more)?), concat!($($limits)?), $says);
            }
        )+}
    };
}

attacks! {
    does_nothing_else: "" => harmless;

    // Handles.
    forges_a_handle: "(call $next (i32.const 77) (i32.const 1) (i32.const 1024))" => "unknown handle index 77";
    uses_the_handle_zero: "(call $columns (i32.const 0) (i32.const 1024))" => "unknown handle index 0";
    forges_a_negative_handle: "(call $drop-cursor (i32.const -1))" => "unknown handle index";
    takes_a_savepoint_for_a_cursor: "(call $next (call $savepoint) (i32.const 1) (i32.const 1024))" => "wrong type";
    takes_a_cursor_for_a_savepoint: "(call $release (call $cursor) (i32.const 1024))" => "wrong type";
    uses_a_cursor_that_it_dropped:
        "(call $drop-cursor (call $cursor)) (call $next (i32.load (i32.const 1032)) (i32.const 1) (i32.const 2048))"
        => "unknown handle index";
    drops_a_savepoint_twice:
        "(call $drop-savepoint (call $savepoint)) (call $drop-savepoint (i32.load (i32.const 1032)))"
        => "unknown handle index";
    drops_a_savepoint_without_ending_it: "(call $drop-savepoint (call $savepoint))" => "neither released nor rolled back";
    leaves_cursors_open: "(drop (call $cursor)) (drop (call $cursor))" => harmless;
    leaks_handles_until_there_are_none: "(loop (drop (call $cursor)) (br 0))" ["handles = 100"] => "(handles)";

    // Pointers and lengths.
    sends_a_statement_from_beyond_its_memory:
        "(call $execute (i32.const 65530) (i32.const 100) (i32.const 0) (i32.const 0) (i32.const 1024))"
        => "out of bounds";
    sends_a_statement_as_long_as_the_address_space:
        "(call $execute (i32.const 16) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 1024))" => "trapped";
    sends_more_parameters_than_bytes_exist:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const 2048) (i32.const 0x7fffffff) (i32.const 1024))"
        => "trapped";
    sends_parameters_from_an_odd_place:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const 2049) (i32.const 1) (i32.const 1024))" => "not aligned";
    sends_a_statement_that_goes_round_the_address_space:
        "(call $execute (i32.const -4) (i32.const 12) (i32.const 0) (i32.const 0) (i32.const 1024))" => "out of bounds";
    sends_parameters_that_go_round_the_address_space:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const -8) (i32.const 1) (i32.const 1024))" => "out of bounds";
    sends_as_many_parameters_as_make_eight_bytes_of_32_bits:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const 2048) (i32.const 0x0aaaaaab) (i32.const 1024))"
        => "out of bounds";
    wants_its_answer_in_its_statement:
        "(call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 64))" => harmless;
    wants_its_answer_beyond_its_memory:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const -8))" => "out of bounds";
    wants_its_answer_in_an_odd_place:
        "(call $execute (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1025))" => "not aligned";
    returns_a_pointer_beyond_its_memory: "(return (i32.const 0x7ffffff8))" => "out of bounds";
    returns_an_odd_pointer: "(return (i32.const 4097))" => "not aligned";

    // Values that no type has.
    sends_bytes_that_are_no_text:
        "(call $execute (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1024))" => "utf-8";
    sends_half_a_character:
        "(i32.store8 (i32.const 2048) (i32.const 0xc3))
         (call $execute (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024))"
        => "utf-8";
    sends_a_surrogate:
        "(i32.store (i32.const 2048) (i32.const 0x80a0ed))
         (call $execute (i32.const 2048) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1024))"
        => "utf-8";
    sends_a_character_beyond_the_last:
        "(i32.store (i32.const 2048) (i32.const 0x808090f4))
         (call $execute (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1024))"
        => "utf-8";
    // Whatever is not zero is true.
    sends_a_boolean_that_is_neither:
        "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store8 (i32.const 2056) (i32.const 0xfe))
         (call $query (i32.const 256) (i32.const 37) (i32.const 2048) (i32.const 1) (i32.const 1024))
         (if (i32.load8_u (i32.const 1024)) (then unreachable))
         (if (i32.ne (i32.load offset=8 (call $answer)) (i32.const 7)) (then unreachable))"
        => harmless;
    // NaNs are of no use as a message: they are NaN again, or SQLite does not take them.
    sends_a_signalling_nan:
        "(i32.store8 (i32.const 2048) (i32.const 6)) (i64.store (i32.const 2056) (i64.const 0x7ff4000000000001))
         (call $query (i32.const 192) (i32.const 35) (i32.const 2048) (i32.const 1) (i32.const 1024))
         (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
           (if (f64.eq (f64.load offset=8 (call $answer)) (f64.load offset=8 (call $answer))) (then unreachable))))"
        => harmless;
    sends_a_small_nan_with_a_payload:
        "(i32.store8 (i32.const 2048) (i32.const 5)) (i32.store (i32.const 2056) (i32.const 0xffabcdef))
         (call $query (i32.const 192) (i32.const 35) (i32.const 2048) (i32.const 1) (i32.const 1024))
         (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
           (if (f64.eq (f64.load offset=8 (call $answer)) (f64.load offset=8 (call $answer))) (then unreachable))))"
        => harmless;
    logs_at_a_level_that_is_none: "(call $log (i32.const 9) (i32.const 64) (i32.const 8))" => "discriminant";
    wants_text_in_a_form_that_is_none:
        "(call $open-cursor (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 1024))"
        => "discriminant";
    sends_a_value_of_no_case:
        "(i32.store8 (i32.const 2048) (i32.const 200))
         (call $execute (i32.const 64) (i32.const 8) (i32.const 2048) (i32.const 1) (i32.const 1024))"
        => "discriminant";
    returns_neither_ok_nor_an_error: "(i32.store8 (i32.const 4096) (i32.const 9))" => "discriminant";
    returns_an_error_of_no_case:
        "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 99))" => "discriminant";
    reports_progress_that_is_negative:
        "(call $progress (i64.const -1) (i32.const 1) (i64.const -9223372036854775808))" => harmless;

    // What the host calls back.
    never_returns_from_its_allocator: "(call $seed (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (loop (br 0)) (unreachable))"
        ["fuel = 10000000"] => "(fuel)";
    allocates_beyond_its_memory: "(call $seed (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0x7ffffff8))"
        => "realloc";
    allocates_in_an_odd_place: "(call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 8193))"
        => "aligned";
    allocates_everything_in_one_place: "(call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 8192))"
        => harmless;
    traps_when_it_gets_the_seed: "(call $seed (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_the_dialect: "(call $dialect (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_the_revision: "(call $revision (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_an_error: "(call $execute (i32.const 160) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_rows: "(call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_columns_of_values:
        "(call $query-batch (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_the_columns_of_a_cursor: "(call $columns (call $cursor) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    traps_when_it_gets_the_rows_of_a_cursor: "(call $next (call $cursor) (i32.const 1) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (unreachable))" => "unreachable";
    grows_its_memory_while_it_is_written: "(call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
               (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))"
        => harmless;
    calls_the_host_from_its_allocator: "(call $seed (i32.const 1024))"
        with "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (call $first) (i32.const 8192))"
        => "cannot leave component instance";
    never_returns_from_its_clearing_up: ""
        with "(func (export \"cabi_post_upgrade\") (param i32) (loop (br 0)))" ["fuel = 10000000"] => "(fuel)";
    calls_the_host_while_clearing_up: ""
        with "(func (export \"cabi_post_upgrade\") (param i32) (call $first))" => "cannot leave component instance";
    traps_while_clearing_up: "" with "(func (export \"cabi_post_upgrade\") (param i32) (unreachable))" => "unreachable";
    never_starts: "" with "(func $spin (loop (br 0))) (start $spin)" ["fuel = 10000000"] => "(fuel)";
    calls_the_host_before_it_has_started: "" with "(start $first)" => "trapped";
    traps_before_it_has_started: "" with "(func $fall (unreachable)) (start $fall)" => "unreachable";

    // What runs it.
    traps: "(unreachable)" => "unreachable";
    divides_by_zero: "(drop (i32.div_u (i32.const 1) (i32.const 0)))" => "divide by zero";
    calls_what_is_no_function: "(call_indirect (i32.const 0))" with "(table 1 funcref)" => "uninitialized element";
    calls_beyond_its_table: "(call_indirect (i32.const 1000))" with "(table 1 funcref)" => "undefined element";
    reads_beyond_its_memory: "(drop (i64.load (i32.const -4)))" => "out of bounds memory access";
    calls_itself_without_end: "(call $deeper)" with "(func $deeper (call $deeper))" => "stack";
    grows_its_memory_without_end: "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)"
        ["memory = \"16MiB\""] => "(memory)";
    starts_with_more_memory_than_it_may_have: "" with "(memory (export \"memory\") 65536)" => "(memory)";
    grows_its_table_without_end:
        "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) (unreachable)"
        with "(table $t 1 funcref)" => "unreachable";
    starts_with_a_table_of_ten_million: "" with "(table 10000000 funcref)" => "trapped";
    computes_without_end: "(loop (br 0))" ["fuel = 10000000"] => "(fuel)";
    fills_memory_without_end:
        "(drop (memory.grow (i32.const 1000)))
         (loop (memory.fill (i32.const 65536) (i32.const 0) (i32.const 65000000)) (br 0))"
        ["time = \"500ms\""] => "(time)";
    reports_progress_without_end: "(loop (call $progress (i64.const 1) (i32.const 0) (i64.const 0)) (br 0))"
        ["time = \"500ms\""] => "(time)";
    logs_without_end: "(loop (call $log (i32.const 1) (i32.const 64) (i32.const 8)) (br 0))" => "(log-lines)";
}
