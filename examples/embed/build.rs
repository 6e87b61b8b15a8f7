//! Compiles the program again when a migration is added: `include_dir!` sees changes of the files that it knows only.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
