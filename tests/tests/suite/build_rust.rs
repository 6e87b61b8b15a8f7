//! `build`: from Rust source to a component.

use std::fs;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use whimbrel::build::{BuildError, Built, Request, build};
use whimbrel_tests::{guest, root};

/// A package in a folder of its own.
fn package(folder: &Utf8Path, crate_type: &str, dependencies: &str, source: &str) -> Utf8PathBuf {
    let package = folder.join("package");
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"subject\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\n\
         crate-type = [\"{crate_type}\"]\n[dependencies]\n{dependencies}\n[workspace]\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::write(package.join("src/lib.rs"), source).unwrap();
    package
}

const BINDINGS: &str = "wit-bindgen = { version = \"0.61.1\", default-features = false, \
                        features = [\"macros\", \"realloc\", \"std\"] }";

fn migration() -> String {
    format!(
        "wit_bindgen::generate!({{ path: \"{}/wit\", world: \"migration\" }});\n\
         use whimbrel::migrate::{{sql, types}};\n\
         struct Subject;\n\
         impl Guest for Subject {{\n\
             fn upgrade() -> Result<(), types::Error> {{\n\
                 sql::execute(\"SELECT 1\", &[]).map(|touched| assert_eq!(touched, 0))\n\
             }}\n\
             fn downgrade() -> Result<(), types::Error> {{ Ok(()) }}\n\
         }}\n\
         export!(Subject);\n",
        root()
    )
}

fn built(package: &Utf8Path) -> Result<Built, BuildError> {
    built_telling(package, &mut |_| {})
}

/// The same, with what the compiler says on its way.
fn built_telling(package: &Utf8Path, output: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    // One at a time, since their modules lie in the same place.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    // One for all: the dependencies compile once.
    let target = guest("adversary").with_file_name("build");
    build(Request {
        folder: package,
        language: "rust",
        target_dir: &target,
        output,
    })
}

fn in_folder<T>(work: impl FnOnce(&Utf8Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    work(Utf8Path::from_path(folder.path()).unwrap())
}

#[test]
fn the_same_source_makes_the_same_component_in_every_folder() {
    let one =
        in_folder(|folder| built(&package(folder, "cdylib", BINDINGS, &migration())).unwrap());
    let other = in_folder(|folder| {
        built(&package(
            &folder.join("deeper/down"),
            "cdylib",
            BINDINGS,
            &migration(),
        ))
        .unwrap()
    });
    assert!(
        one.component == other.component,
        "{} and {} bytes",
        one.component.len(),
        other.component.len()
    );
    assert!(
        one.component.len() < 80_000,
        "{} bytes",
        one.component.len()
    );
    assert_eq!(
        one.imports,
        ["whimbrel:migrate/types@0.1.0", "whimbrel:migrate/sql@0.1.0"]
    );
}

#[test]
fn what_packages_depend_on_is_compiled_once_for_all_of_them() {
    let compiled = |_: usize| {
        in_folder(|folder| {
            let mut compiled = Vec::new();
            let package = package(folder, "cdylib", BINDINGS, &migration());
            built_telling(&package, &mut |line| {
                if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
                    compiled.extend(name.split_whitespace().next().map(str::to_owned));
                }
            })
            .unwrap();
            compiled
        })
    };
    let [first, second] = [0, 1].map(compiled);
    assert!(first.contains(&"subject".to_owned()), "{first:?}");
    assert_eq!(second, ["subject"]);
}

/// A package beside the source, or below it, that says so in the component.
fn helper(folder: &Utf8Path, says: &str) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    )
    .unwrap();
    fs::write(
        folder.join("src/lib.rs"),
        format!("#[inline(never)] pub fn check(touched: i64) {{ if touched > 7 {{ panic!(\"{says} {{touched}}\") }} }}"),
    )
    .unwrap();
}

fn helped() -> String {
    migration().replace("assert_eq!(touched, 0)", "helper::check(touched)")
}

fn contains(built: &Built, text: &str) -> bool {
    let component = &built.component;
    component
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Cargo sees no difference between packages of the same name at the same place of two folders but their time.
#[test]
fn packages_of_one_name_in_two_migrations_are_told_apart() {
    in_folder(|folder| {
        let dependencies = format!("{BINDINGS}\nhelper = {{ path = \"helper\" }}");
        let packages = ["one", "two"].map(|says| {
            let package = package(&folder.join(says), "cdylib", &dependencies, &helped());
            helper(&package.join("helper"), says);
            (package, says)
        });
        for (package, says) in packages {
            assert!(contains(&built(&package).unwrap(), says), "{says}");
        }
    });
}

#[test]
fn no_component_says_where_a_package_beside_it_was() {
    in_folder(|folder| {
        helper(&folder.join("helper"), "beside");
        let dependencies = format!("{BINDINGS}\nhelper = {{ path = \"../helper\" }}");
        let built = built(&package(folder, "cdylib", &dependencies, &helped())).unwrap();
        assert!(contains(&built, "/packages/helper/src/lib.rs"));
        assert!(!contains(&built, folder.as_str()));
    });
}

#[test]
fn a_mistake_in_the_source_shows_what_the_compiler_said() {
    let error =
        in_folder(|folder| built(&package(folder, "cdylib", "", "fn broken( {}")).unwrap_err());
    let BuildError::Command {
        command, output, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!(command.contains("cargo rustc"), "{command}");
    assert!(output.contains("src/lib.rs:1"), "{output}");
}

#[test]
fn a_package_that_makes_no_migration_says_what_it_lacks() {
    let error = in_folder(|folder| built(&package(folder, "rlib", "", "")).unwrap_err());
    assert!(matches!(&error, BuildError::NoModule { .. }), "{error:?}");
    let error = in_folder(|folder| built(&package(folder, "cdylib", "", "")).unwrap_err());
    assert!(
        matches!(&error, BuildError::Admission(_) | BuildError::Encode { .. }),
        "{error:?}"
    );
}

#[test]
fn a_language_without_a_builder_is_named() {
    let request = Request {
        folder: Utf8Path::new("."),
        language: "cobol",
        target_dir: Utf8Path::new("target"),
        output: &mut |_| {},
    };
    let error = build(request).unwrap_err();
    assert!(error.to_string().contains("`cobol`"), "{error}");
}
