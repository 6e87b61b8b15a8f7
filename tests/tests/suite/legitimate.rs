//! What components may rightly do is not in the way of anything: scripts of schemas and data run under exactly what they
//! turned out to need, with all layers at work, and nothing is denied.

use std::sync::Arc;

use whimbrel::capability::{Capabilities, Grant, Lesson, Reach};
use whimbrel::driver::{Authority, Durability, ResultLimit};
use whimbrel::sql::split;
use whimbrel_tests::{Backend, Database, on_every_database, on_every_postgres};

use crate::staging::driver;

const MUSIC_SHOP: &str = include_str!("legitimate/music_shop.sql");
const FILM_RENTAL: &str = include_str!("legitimate/film_rental.sql");
const DEFINITIONS: &str = include_str!("legitimate/definitions.sql");

on_every_database! {
    async fn a_shop_for_music(db: Database) {
        let learned_on = learn_and_run(&db, MUSIC_SHOP).await;
        assert_eq!(db.dump().await, learned_on.dump().await);
    }
}

on_every_postgres! {
    async fn a_shop_for_films(db: Database) {
        learn_and_run(&db, FILM_RENTAL).await;
    }

    async fn definitions_of_every_kind(db: Database) {
        learn_and_run(&db, DEFINITIONS).await;
    }
}

/// Runs a script while what it does is noted, and again under what was noted; returns the database of the first run.
async fn learn_and_run(db: &Database, script: &str) -> Database {
    let lesson = Lesson::default();
    let watched = Grant {
        reach: Reach::Learning(lesson.clone()),
        ..Grant::everything()
    };
    let scratch = Database::create(db.backend()).await;
    let denied = run(&scratch, script, watched).await;
    assert!(denied.is_empty(), "{}", denied.join("\n"));

    let request: Capabilities = lesson.request();
    assert!(!request.is_empty());
    let text: Vec<String> = request.iter().map(ToString::to_string).collect();
    let again: Capabilities = text.join(";").parse().unwrap();
    assert_eq!(again, request, "a request reads back as it is written");
    let denied = run(db, script, Grant::only(again)).await;
    assert!(
        denied.is_empty(),
        "{} statements were denied:\n{}\nunder\n{}",
        denied.len(),
        denied.join("\n"),
        text.join("\n")
    );
    scratch
}

/// Runs a script as a component would; returns what was refused.
async fn run(db: &Database, script: &str, grant: Grant) -> Vec<String> {
    let driver = driver(db);
    let mut session = driver.connect().await.unwrap();
    let grant = Arc::new(grant);
    session.begin().await.unwrap();
    session
        .assume(Authority::Guest(Arc::clone(&grant)))
        .await
        .unwrap();
    let mut denied = Vec::new();
    for piece in split(script, driver.dialect()).unwrap() {
        if piece.text.starts_with("MERGE") && db.backend() == Backend::Postgres(13) {
            continue;
        }
        session.savepoint("s").await.unwrap();
        let result = session.query(piece.text, &[], ResultLimit::NONE).await;
        match result {
            Ok(_) => session.release_savepoint("s").await.unwrap(),
            Err(error) => {
                denied.push(format!("{error}: {}", piece.text));
                session.rollback_to_savepoint("s").await.unwrap();
            }
        }
    }
    let touched = session.touched().await.unwrap();
    let schema = session.default_schema().to_owned();
    for access in &touched.accesses {
        if let Err(refusal) = grant.check(access, &schema) {
            denied.push(format!("audit: {refusal}"));
        }
    }
    session.assume(Authority::Host).await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    denied
}
