//! Components that must not even be compiled.

use std::time::{Duration, Instant};

use whimbrel::capability::Limits;
use whimbrel::migration::MigrationError;
use whimbrel::wasm::{ComponentMigration, Runtime, Wasi};
use whimbrel_tests::guest;

use super::module::component;

const DEADLINE: Duration = Duration::from_secs(30);

/// What a component is refused with, none where it is not, and how long that took.
fn refusal(bytes: Vec<u8>) -> Option<String> {
    let start = Instant::now();
    // Without a folder to keep it in, nothing is left behind.
    let runtime = Runtime::with_cache(guest("adversary").join("no folder").as_std_path());
    let migration =
        ComponentMigration::from_bytes(&runtime, bytes, Wasi::Refused, Limits::default());
    let refusal = match migration.load() {
        Ok(()) => None,
        Err(MigrationError::Admission { reasons }) => Some(reasons.join("; ")),
        Err(other) => panic!("{other:?}"),
    };
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
    refusal
}

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap_or_else(|error| panic!("{error}"))
}

/// A sound component with more in it.
fn sound_with(section: &str) -> Vec<u8> {
    let mut bytes = component("", "");
    // The magic number and the version come first in what was made of the text.
    bytes.extend_from_slice(&text(&format!("(component {section})"))[8..]);
    bytes
}

/// Components that each instantiate the one before twice.
fn doubling(levels: usize) -> String {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let before = level - 1;
        text.push_str(&format!(
            "(component $c{level} (alias outer 1 $c{before} (component $x)) (instance (instantiate $x)) (instance (instantiate $x)))"
        ));
    }
    text.push_str(&format!("(instance (instantiate $c{levels}))"));
    text
}

/// A section of a binary whose length is a lie.
fn lying_section() -> Vec<u8> {
    let mut bytes = component("", "");
    bytes.extend_from_slice(&[0, 0xff, 0xff, 0xff, 0x0f, 1, b'x']);
    bytes
}

/// A component with a core module of these sections, each a number and its bytes.
fn module_of(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        module.extend([*id, u8::try_from(content.len()).unwrap()]);
        module.extend_from_slice(content);
    }
    let mut bytes = component("", "");
    bytes.extend([1, u8::try_from(module.len()).unwrap()]);
    bytes.extend(module);
    bytes
}

/// A section that claims `u32::MAX` entries.
const COUNTLESS: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];
/// The type of a function without parameters and results, and a function of it.
const TYPES: (u8, &[u8]) = (1, &[1, 0x60, 0, 0]);
const FUNCTIONS: (u8, &[u8]) = (3, &[1, 0]);

fn function(body: &str) -> Vec<u8> {
    sound_with(&format!("(core module (func {body}))"))
}

fn nested(depth: usize) -> Vec<u8> {
    sound_with(&format!(
        "{}{}",
        "(component ".repeat(depth),
        ")".repeat(depth)
    ))
}

/// One line an attack: its name, the component, and a part of why it is refused.
macro_rules! refused {
    ($($name:ident: $bytes:expr => $says:literal;)+) => {$(
        #[test]
        fn $name() {
            let reason = refusal($bytes).expect("it is refused");
            assert!(reason.contains($says), "`{reason}` does not say `{}`", $says);
        }
    )+};
}

refused! {
    is_cut_short: component("", "")[..2000].to_vec() => "damaged";
    lies_about_the_length_of_a_section: lying_section() => "damaged";
    has_a_module_that_reaches_beyond_it: [component("", ""), vec![1, 0x20, 0, b'a', b's', b'm']].concat() => "damaged";
    has_sections_twice: module_of(&[TYPES, TYPES]) => "damaged";
    has_sections_in_another_order: module_of(&[FUNCTIONS, TYPES]) => "damaged";
    has_functions_without_code: module_of(&[TYPES, FUNCTIONS]) => "damaged";
    has_code_without_functions: module_of(&[TYPES, (10, &[1, 2, 0, 0x0b])]) => "damaged";
    has_a_function_that_reaches_into_the_next_section:
        module_of(&[TYPES, FUNCTIONS, (10, &[1, 0x10, 0, 0x0b]), (11, &[0])]) => "damaged";
    has_a_function_with_a_gap_behind_it: module_of(&[TYPES, FUNCTIONS, (10, &[1, 2, 0, 0x0b, 0, 0])]) => "damaged";
    has_countless_types: module_of(&[(1, COUNTLESS)]) => "damaged";
    has_countless_functions: module_of(&[TYPES, (3, COUNTLESS)]) => "damaged";
    has_countless_bodies: module_of(&[TYPES, FUNCTIONS, (10, COUNTLESS)]) => "damaged";
    has_countless_data: module_of(&[(11, COUNTLESS)]) => "definitions";
    has_countless_locals:
        module_of(&[TYPES, FUNCTIONS, (10, &[1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b])]) => "locals in one function";
    branches_to_countless_places:
        module_of(&[TYPES, FUNCTIONS, (10, &[1, 8, 0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b])]) => "damaged";
    counts_in_six_bytes: module_of(&[(1, &[0x80, 0x80, 0x80, 0x80, 0x80, 0])]) => "damaged";
    has_something_after_its_end: [component("", ""), vec![0x7f; 64]].concat() => "damaged";
    has_two_hundred_megabytes: [component("", ""), vec![0; 200 << 20]].concat() => "at most 128 MiB";
    imports_what_there_is_not: sound_with(r#"(import "acme:keys/all@1.0.0" (instance))"#) => "no interface of Whimbrel's";
    imports_a_bare_function: sound_with(r#"(import "run" (func))"#) => "no interface of Whimbrel's";
    imports_another_version: sound_with(r#"(import "whimbrel:migrate/sql@9.0.0" (instance))"#) => "offers 0.1.0";
    imports_files: sound_with(r#"(import "wasi:filesystem/types@0.2.0" (instance))"#) => "gets no WASI";
    imports_a_function_that_there_is_not:
        text(r#"(component (import "whimbrel:migrate/sql@0.1.0" (instance (export "drop-database" (func))))
                (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (export "upgrade" (func $f)) (export "downgrade" (func $f)))"#)
        => "other types";
    exports_what_is_no_migration:
        text(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (export "upgrade" (func $f)) (export "downgrade" (func $f)))"#)
        => "other types";
    exports_nothing: text("(component)") => "does not export `upgrade`";
    has_memory_of_64_bits: sound_with("(core module (memory i64 1))") => "does not compile";
    shares_memory: sound_with("(core module (memory 1 1 shared))") => "does not compile";
    has_a_thousand_modules: sound_with(&"(core module)".repeat(1000)) => "core modules";
    has_a_thousand_memories: sound_with(&format!("(core module {})", "(memory 1)".repeat(1000))) => "does not compile";
    has_components_within_components: nested(12) => "levels of components";
    has_a_thousand_components: sound_with(&"(component)".repeat(1000)) => "components within it";
    instantiates_by_doubling: sound_with(&doubling(15)) => "instances of components";
    has_a_million_types: sound_with(&format!("(core module {})", "(type (func))".repeat(300_000))) => "definitions";
    has_a_function_of_two_megabytes: function(&"nop ".repeat(2 << 20)) => "bytes in one function";
    has_fifty_thousand_locals: function(&format!("(local {})", "i32 ".repeat(50_000))) => "locals in one function";
    nests_blocks_without_end: function(&format!("{}{}", "block ".repeat(20_000), "end ".repeat(20_000))) => "blocks within blocks";
    returns_a_thousand_values: function(&format!("(result {}) unreachable", "i32 ".repeat(1000))) => "results of one function";
    has_many_locals_in_many_branches:
        function(&format!("(local {}) {}", "i32 ".repeat(1500), "block end ".repeat(400))) => "branches times locals";
    has_forty_megabytes_of_code:
        [component("", ""), text(&format!("(component (core module (func {})))", "nop ".repeat(1_000_000)))[8..].repeat(40)].concat()
        => "bytes of code";
    nests_loops_without_end: function(&format!("{}{}", "loop ".repeat(200), "end ".repeat(200))) => "loops within loops";
    has_code_that_is_none: function("i32.add drop") => "does not compile";
}

#[test]
fn junk_in_custom_sections_is_nobodys_business() {
    let section = r#"(@custom "component-type" "\ff\ff\ff\ff") (@custom "name" "\00\ff\ff\ff\ff\0f") (@custom "producers" "x")"#;
    assert_eq!(refusal(sound_with(section)), None);
}

#[test]
fn what_is_admitted_at_its_worst_compiles_in_time() {
    // Many values that live at once, and loops in loops that carry many locals: as much of each as is admitted in one function.
    let alive = format!(
        "(param i32) {} {}",
        "local.get 0 i32.load ".repeat(100_000),
        "drop ".repeat(100_000)
    );
    let (depth, locals) = (64, 2_000);
    let carried: String = (0..locals)
        .map(|at| format!("local.get {at} i32.const 1 i32.add local.set {at} "))
        .collect();
    let loops = format!(
        "(local {}) {} {carried} {} {}",
        "i32 ".repeat(locals),
        "loop ".repeat(depth),
        "local.get 0 br_if 0 ".repeat(depth),
        "end ".repeat(depth)
    );
    for (what, body) in [("alive", alive), ("loops", loops)] {
        let section = format!("(core module (memory 1) (func {body}))");
        let start = Instant::now();
        assert_eq!(refusal(sound_with(&section)), None, "{what}");
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what}: {:?}",
            start.elapsed()
        );
    }
}
