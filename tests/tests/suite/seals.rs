//! What a component says that it asks for is what its manifest says, or it does not run.

use whimbrel::engine::Cause;
use whimbrel::migration::PrepareError;
use whimbrel::source::{SECTION, Seal};
use whimbrel_tests::{Database, guest, on_every_database};

use crate::staging::{Folder, engine, ledger, up};

const MANIFEST: &str = "[capabilities]\nselect = [\"users(id)\"]\n[limits]\nmemory = \"64MiB\"\n";

/// The guest that does nothing unless it is told to, with a seal.
fn sealed(capabilities: &str, limits: &str) -> Vec<u8> {
    let mut component = std::fs::read(guest("adversary")).unwrap();
    let seal = Seal::new(
        toml::from_str(capabilities).unwrap(),
        toml::from_str(limits).unwrap(),
    );
    seal.put_on(&mut component).unwrap();
    component
}

fn folder(component: Vec<u8>) -> Folder {
    let manifest = format!("{MANIFEST}[params]\nbehaviour = \"nothing\"\n");
    Folder::default()
        .table("a", "")
        .component_of("b", "a", component, &manifest)
}

/// Demands that nothing runs, and returns why.
async fn refused(db: &Database, component: Vec<u8>) -> String {
    let failure = up(&engine(db, folder(component)), "head")
        .await
        .unwrap_err();
    assert!(!db.dump().await.contains("t_a"), "something ran");
    match *failure.cause {
        Cause::Prepare(PrepareError::Refused {
            revision,
            reason,
            remedy,
        }) => {
            assert_eq!(revision.as_str(), "b");
            assert!(remedy.contains("migration.toml"), "{remedy}");
            reason
        }
        Cause::Prepare(PrepareError::Build(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

on_every_database! {
    async fn a_component_that_says_the_same_runs(db: Database) {
        let same = sealed("select = [\"users(id)\"]", "memory = 67108864");
        up(&engine(&db, folder(same)), "head").await.unwrap();
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done"]);
    }

    async fn a_component_that_asks_for_more_than_its_manifest_does_not_run(db: Database) {
        let more = sealed("select = [\"users(id)\", \"secrets\"]", "memory = \"64MiB\"");
        assert_eq!(
            refused(&db, more).await,
            "it asks for `select secrets`, and its manifest does not"
        );
    }

    async fn nor_does_one_that_asks_for_less(db: Database) {
        let less = sealed("", "memory = \"64MiB\"");
        assert_eq!(
            refused(&db, less).await,
            "its manifest asks for `select users(id)`, and it does not"
        );
    }

    async fn nor_does_one_with_other_limits(db: Database) {
        let greedy = sealed("select = [\"users(id)\"]", "");
        assert_eq!(
            refused(&db, greedy).await,
            "its limit `memory` is 256MiB, and 64MiB in its manifest"
        );
    }

    async fn nor_does_one_that_says_it_twice_or_in_no_known_way(db: Database) {
        let mut twice = sealed("select = [\"users(id)\"]", "memory = \"64MiB\"");
        Seal::of(&twice).unwrap().unwrap().put_on(&mut twice).unwrap();
        let told = refused(&db, twice).await;
        assert!(told.contains(&format!("several sections `{SECTION}`")), "{told}");

        let mut later = std::fs::read(guest("adversary")).unwrap();
        let content = b"version = 2";
        later.push(0);
        later.push((1 + SECTION.len() + content.len()).try_into().unwrap());
        later.push(SECTION.len().try_into().unwrap());
        later.extend(SECTION.as_bytes());
        later.extend(content);
        let told = refused(&db, later).await;
        assert!(told.contains("has version 2"), "{told}");
    }
}
