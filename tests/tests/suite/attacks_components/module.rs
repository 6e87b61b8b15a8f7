//! Components made of a core module in text.

use whimbrel_tests::root;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a module has besides its attack: most of what it may import, one page of memory with statements in it, and an
/// allocator. Functions that return a result are given 1024 as the place for it, or more; 4096 holds the result `ok`.
/// `$answer` is where the first value is that a query answered at 1024.
const IMPORTS: &str = r#"
  (import "whimbrel:migrate/sql@0.1.0" "execute" (func $execute (param i32 i32 i32 i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "query" (func $query (param i32 i32 i32 i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "open-cursor" (func $open-cursor (param i32 i32 i32 i32 i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[method]cursor.columns" (func $columns (param i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[method]cursor.next" (func $next (param i32 i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[resource-drop]cursor" (func $drop-cursor (param i32)))
  (import "whimbrel:migrate/sql@0.1.0" "open-savepoint" (func $open-savepoint (param i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[method]savepoint.release" (func $release (param i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[method]savepoint.rollback" (func $rollback (param i32 i32)))
  (import "whimbrel:migrate/sql@0.1.0" "[resource-drop]savepoint" (func $drop-savepoint (param i32)))
  (import "whimbrel:migrate/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (import "whimbrel:migrate/log@0.1.0" "progress" (func $progress (param i64 i32 i64)))
  (import "whimbrel:migrate/sql@0.1.0" "query-batch" (func $query-batch (param i32 i32 i32 i32 i32 i32)))
  (import "whimbrel:migrate/context@0.1.0" "seed" (func $seed (param i32)))
  (import "whimbrel:migrate/context@0.1.0" "dialect" (func $dialect (param i32)))
  (import "whimbrel:migrate/context@0.1.0" "revision" (func $revision (param i32)))
"#;
const STATEMENTS: &str = r#"
  (data (i32.const 16) "CREATE TABLE t_b (n integer)")
  (data (i32.const 64) "SELECT 1")
  (data (i32.const 128) "\ff\fe\fd\fc")
  (data (i32.const 160) "SELEKT 1")
  (data (i32.const 192) "SELECT CAST($1 AS double precision)")
  (data (i32.const 256) "SELECT CASE WHEN $1 THEN 7 ELSE 8 END")
  (func $first (call $execute (i32.const 16) (i32.const 28) (i32.const 0) (i32.const 0) (i32.const 1024)))
  (func $cursor (result i32)
    (call $open-cursor (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024))
    (i32.load (i32.const 1032)))
  (func $savepoint (result i32) (call $open-savepoint (i32.const 1024)) (i32.load (i32.const 1032)))
  (func $answer (result i32) (i32.load (i32.load (i32.const 1040))))
  (func (export "downgrade") (result i32) (i32.const 4096))
"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const ALLOCATOR: &str = r#"
  (global $heap (mut i32) (i32.const 32768))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.add (local.get 3) (i32.const 7))) (i32.const -8))))
"#;

/// A component whose `upgrade` makes the table `t_b` and then runs `attack`. Memory and allocator are the usual ones where
/// `more` has none of its own.
pub(crate) fn component(attack: &str, more: &str) -> Vec<u8> {
    let unless = |name: &str, usual: &'static str| match more.contains(name) {
        true => "",
        false => usual,
    };
    let (memory, allocator) = (
        unless("(export \"memory\")", MEMORY),
        unless("cabi_realloc", ALLOCATOR),
    );
    let text = format!(
        "(module {IMPORTS} {memory} {allocator} {STATEMENTS} {more}\n\
         (func (export \"upgrade\") (result i32) (call $first) {attack} (i32.const 4096)))"
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("migration")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap();
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}
