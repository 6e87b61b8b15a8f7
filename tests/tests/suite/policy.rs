//! The operator's policy, as it decides what `whimbrel upgrade` runs.

mod signers;

use std::fs;
use std::os::unix::fs::symlink;

use tokio::task::block_in_place;
use whimbrel_tests::{Backend, Database, Outcome, Project, guest, on_every_database};

/// A project over a database, with a policy.
fn project(db: &Database, policy: &str) -> Project {
    let project = Project::empty().on(db);
    project.write("whimbrel.toml", "");
    project.write("policy.toml", policy);
    project
}

/// Adds a SQL file with more lines in its header.
fn sql(project: &Project, id: &str, header: &str, upgrade: &str) {
    project.write(
        &format!("migrations/{id}_test.sql"),
        format!("-- whimbrel:migration\n-- id: {id}\n{header}-- whimbrel:upgrade\n{upgrade}\n"),
    );
}

/// Adds the component that does what its parameters say; `more` is the end of its manifest.
fn component(project: &Project, id: &str, more: &str) {
    let folder = format!("migrations/{id}_adversary");
    project.write(
        &format!("{folder}/migration.toml"),
        format!("id = \"{id}\"\ncomponent = \"adversary.wasm\"\n{more}"),
    );
    let to = project.path().join(folder).join("adversary.wasm");
    fs::copy(guest("adversary"), to).unwrap();
}

/// One that makes the table `kept`, for which it asks.
fn making_kept(project: &Project, id: &str, head: &str) {
    component(
        project,
        id,
        &format!(
            "{head}\n[capabilities]\nddl = [\"create table kept\"]\n[params]\nbehaviour = \"statement\"\nsql = \"CREATE TABLE kept (x int)\"\n"
        ),
    );
}

/// Approves all and upgrades, or says why not.
fn upgrade(project: &Project) -> Outcome {
    let approved = run(project, ["approve", "--yes"]);
    match approved.status.success() {
        true => run(project, ["upgrade", "heads"]),
        false => approved,
    }
}

fn run<const N: usize>(project: &Project, arguments: [&str; N]) -> Outcome {
    block_in_place(|| project.run(arguments))
}

#[track_caller]
fn refused(outcome: Outcome, texts: &[&str]) {
    let outcome = outcome.exits_with(5);
    for text in texts {
        assert!(outcome.stderr.contains(text), "{text}:\n{}", outcome.stderr);
    }
}

async fn has_table(db: &Database, name: &str) -> bool {
    db.dump().await.contains(name)
}

/// Longer than anybody waits for.
fn slow(db: &Database) -> &'static str {
    match db.backend() {
        Backend::Sqlite => {
            "CREATE TABLE slow AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) \
             SELECT max(i) AS top FROM n;"
        }
        Backend::Postgres(_) => {
            "CREATE TABLE slow AS SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b;"
        }
    }
}

/// SQLite counts while a statement runs, PostgreSQL before the commit.
fn beyond_two_rows(db: &Database) -> &'static str {
    match db.backend() {
        Backend::Sqlite => "its limit of 2 rows written",
        Backend::Postgres(_) => "`rows-written` allows 2",
    }
}

on_every_database! {
    async fn a_component_may_nothing_that_no_rule_grants(db: Database) {
        let project = project(&db, "[[rule]]\ngrant = [\"select *\"]\n");
        sql(&project, "a1", "", "CREATE TABLE first (x int);");
        making_kept(&project, "b2", "revises = \"a1\"");
        let told = [
            "revision b2 may not run",
            "asks for `create table kept`, which no rule of the policy grants",
            "hint: have it ask for less in its [capabilities], or have a rule in the policy grant it",
            "Nothing was changed.",
        ];
        refused(run(&project, ["approve", "--yes"]), &told);
        let wider = "[[rule]]\ngrant = [\"create table k*\"]\n";
        project.write("policy.toml", wider);
        run(&project, ["approve", "--yes"]).succeeds();
        // What was approved may have lost its grant since; not even what comes before it runs then.
        project.write("policy.toml", "[[rule]]\ngrant = [\"create table o*\"]\n");
        refused(run(&project, ["upgrade"]), &told);
        assert!(!has_table(&db, "first").await);
        project.write("policy.toml", wider);
        run(&project, ["upgrade"]).succeeds();
        assert!(has_table(&db, "kept").await);
    }

    async fn a_rule_is_about_those_that_meet_its_conditions(db: Database) {
        let project = project(&db, "");
        making_kept(&project, "b2", "labels = \"people\"");
        let digest = whimbrel::digest::Digest::of(&fs::read(guest("adversary")).unwrap());
        let other = whimbrel::digest::Digest::of(b"other");
        let rule = |conditions: &str| {
            project.write("policy.toml", format!("[[rule]]\n{conditions}\ngrant = [\"create table *\"]\n"));
            upgrade(&project)
        };
        for conditions in [
            "revisions = [\"a1\", \"c*\"]".to_owned(),
            "labels = [\"billing\", \"people2\"]".to_owned(),
            "kind = \"sql\"".to_owned(),
            format!("components = [\"sha256:{other}\"]"),
            "components = [\"migrations/*/migration.wasm\"]".to_owned(),
            format!("components = [\"sha256:{digest}\"]\nlabels = [\"billing\"]"),
        ] {
            refused(rule(&conditions), &["which no rule of the policy grants"]);
        }
        for conditions in [
            "revisions = [\"a1\", \"b*\"]".to_owned(),
            "labels = [\"billing\", \"peo*\"]".to_owned(),
            "kind = \"component\"".to_owned(),
            format!("components = [\"sha256:{digest}\"]"),
            "components = [\"migrations/*/adversary.wasm\"]\nrevisions = [\"b2\"]".to_owned(),
        ] {
            let outcome = rule(&conditions);
            assert_eq!(outcome.status.code(), Some(0), "{conditions}: {}", outcome.stderr);
            run(&project, ["stamp", "--purge", "base"]).succeeds();
            db.execute("DROP TABLE kept").await;
        }
    }

    async fn what_one_rule_denies_no_other_grants(db: Database) {
        let grant = "[[rule]]\ngrant = [\"create table *\"]\n";
        let deny = "[[rule]]\nrevisions = [\"b*\"]\ndeny = [\"create table k*\"]\n";
        for text in [format!("{grant}{deny}"), format!("{deny}{grant}")] {
            let project = project(&db, &text);
            making_kept(&project, "b2", "");
            refused(upgrade(&project), &[
                "asks for `create table kept`; the policy denies `create table k*`",
            ]);
        }
        // For a SQL file as well, when the statement comes.
        let project = project(&db, deny);
        sql(&project, "b2", "", "CREATE TABLE other (x int);\nCREATE TABLE kept (x int);");
        refused(upgrade(&project), &[
            "migrations/b2_test.sql:5",
            "`create table k*` is denied",
            "hint: a rule of the policy denies `create table k*`, whatever is asked for",
            "b2 rolled back; nothing else changed",
        ]);
        assert!(!has_table(&db, "other").await);
    }

    async fn a_sql_file_may_change_data_and_definitions_and_make_no_code(db: Database) {
        let project = project(&db, "");
        sql(&project, "a1", "", "CREATE TABLE people (id int PRIMARY KEY, name text DEFAULT 'x', since timestamp DEFAULT CURRENT_TIMESTAMP, CHECK (length(name) > 0));\n\
             CREATE UNIQUE INDEX by_name ON people (lower(name));\nINSERT INTO people (id) VALUES (1);\nUPDATE people SET name = upper(name);\n\
             ALTER TABLE people ADD COLUMN n int DEFAULT 0;\nDELETE FROM people;\nCREATE TABLE pets (id int, keeper int REFERENCES people (id), name text, loud text GENERATED ALWAYS AS (upper(name)) STORED);\nCREATE TABLE gone (x int);\nDROP TABLE gone;");
        upgrade(&project).succeeds();
        if db.backend().is_postgres() {
            sql(&project, "b0", "-- revises: a1\n", "CREATE TYPE mood AS ENUM ('ok');\nCREATE TABLE visits (id bigserial PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY, mood mood DEFAULT 'ok', at timestamptz DEFAULT now(), key uuid DEFAULT gen_random_uuid());\nINSERT INTO visits DEFAULT VALUES;");
            upgrade(&project).succeeds();
            fs::remove_file(project.path().join("migrations/b0_test.sql")).unwrap();
            run(&project, ["stamp", "--purge", "a1"]).succeeds();
        }
        sql(&project, "b2", "-- revises: a1\n", "CREATE VIEW names AS SELECT name FROM people;");
        refused(upgrade(&project), &[
            "migrations/b2_test.sql:5",
            "is not granted",
            "hint: where it should do that, have a rule of the policy grant `code view",
        ]);
        // What a file says that it does is what it may do.
        sql(&project, "b2", "-- revises: a1\n-- capabilities: select people\n", "DELETE FROM people;");
        refused(upgrade(&project), &["is not granted", "`-- capabilities: …`"]);
        sql(&project, "b2", "-- revises: a1\n-- capabilities: code view names; select people(name)\n", "CREATE VIEW names AS SELECT name FROM people;");
        refused(upgrade(&project), &["asks for `code view names`, which no rule of the policy grants"]);
        project.write("policy.toml", "[[rule]]\nkind = \"sql\"\ngrant = [\"code view *\"]\n");
        upgrade(&project).succeeds();
    }

    async fn a_cap_ends_what_goes_beyond_it(db: Database) {
        let beyond_two_rows = beyond_two_rows(&db);
        let cap = |cap: &str| {
            let project = project(&db, &format!("[[rule]]\ngrant = [\"create table *\", \"insert *\"]\ncap = {{ {cap} }}\n"));
            sql(&project, "a1", "", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1), (2), (3);");
            project
        };
        for (limit, says) in [
            ("rows-written = 2", beyond_two_rows),
            ("statements = 1", "exceeded its limit of 1 statements (statements)"),
        ] {
            let project = cap(limit);
            let outcome = upgrade(&project);
            assert_ne!(outcome.status.code(), Some(0), "{limit}");
            assert!(outcome.stderr.contains(says), "{limit}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("a1 rolled back; nothing else changed"), "{}", outcome.stderr);
        }
        upgrade(&cap("rows-written = 3, statements = 2, time = \"1m\"")).succeeds();
    }

    async fn a_cap_ends_a_component_that_goes_beyond_it(db: Database) {
        let beyond_two_rows = beyond_two_rows(&db);
        let project = project(&db, "");
        // It makes the table first, and then fills it: two statements, three rows.
        component(&project, "b2", "[capabilities]\nddl = [\"create table kept\"]\n[params]\nfirst = \"CREATE TABLE kept (x int)\"\n\
            behaviour = \"statement\"\nsql = \"INSERT INTO kept VALUES (1), (2), (3)\"\n");
        let capped = |cap: &str| {
            project.write("policy.toml", format!("[[rule]]\ngrant = [\"create table *\"]\ncap = {{ {cap} }}\n"));
            upgrade(&project)
        };
        for (cap, says) in [
            ("rows-written = 2", beyond_two_rows),
            ("statements = 1", "statements"),
            ("call-bytes = 10", "too much data is being copied between the host and the guest"),
            ("memory = \"64KiB\"", "memory"),
            ("fuel = 10", "fuel"),
        ] {
            let outcome = capped(cap);
            assert_ne!(outcome.status.code(), Some(0), "{cap}");
            assert!(outcome.stderr.contains(says), "{cap}: {}", outcome.stderr);
        }
        assert!(!has_table(&db, "kept").await);
        capped("rows-written = 3, statements = 2").succeeds();
    }

    async fn a_cap_on_time_ends_a_statement(db: Database) {
        let project = project(&db, "[[rule]]\ncap = { time = \"300ms\" }\n");
        sql(&project, "a1", "", slow(&db));
        let outcome = upgrade(&project).exits_with(1);
        assert!(outcome.stderr.contains("exceeded its limit of 300 milliseconds (time)"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("a1 rolled back; nothing else changed"), "{}", outcome.stderr);
    }

    async fn what_was_learned_is_enough_and_no_more(db: Database) {
        let project = project(&db, "[[rule]]\ngrant = [\"select people(name)\", \"create table kept\", \"drop table kept\", \"code view *\", \"insert people\"]\n");
        project.sql_migration("a1", "", "CREATE TABLE people (id int PRIMARY KEY, name text);\nINSERT INTO people VALUES (1, 'a');", "DROP TABLE people;");
        sql(&project, "b2", "-- revises: a1\n", "CREATE VIEW names AS SELECT name FROM people;");
        component(&project, "c3", "revises = \"b2\"\n[params]\nfirst = \"SELECT name FROM people\"\nbehaviour = \"nothing\"\nsql = \"\"\n");
        let learned = run(&project, ["--json", "plan", "--learn", "-x", "behaviour=statement", "-x", "sql=CREATE TABLE kept (x int)"]);
        let learned = learned.succeeds().json();
        let requests = |at: usize| learned[at]["request"].clone();
        assert_eq!(requests(0), serde_json::json!(["create table people"]));
        assert_eq!(requests(2), serde_json::json!(["select people(name)", "create table kept"]));
        // The default is enough for the first, and a rule for the second.
        assert_eq!((&learned[0]["written"], &learned[1]["written"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!(learned[2]["written"], "migrations/c3_adversary/migration.toml");
        assert_eq!((&learned[1]["downgrade"], &learned[2]["refused"]), (&serde_json::json!("absent"), &serde_json::json!([])));
        assert!(!has_table(&db, "people").await, "it ran elsewhere");
        upgrade(&project).succeeds();
    }

    async fn learning_asks_nobody_and_says_what_the_policy_lacks(db: Database) {
        let project = project(&db, "");
        project.sql_migration("a1", "", "CREATE TABLE people (name text);\nCREATE VIEW names AS SELECT name FROM people;", "DROP VIEW names;\nDROP TABLE people;");
        let learned = run(&project, ["--json", "plan", "--learn"]).succeeds().json();
        assert_eq!(learned[0]["written"], "migrations/a1_test.sql");
        assert_eq!(learned[0]["downgrade"], "whole");
        let refused = learned[0]["refused"].to_string();
        assert!(refused.contains("asks for `code view names`, which no rule of the policy grants"), "{refused}");
        project.write("policy.toml", "[[rule]]\nrevisions = [\"a1\"]\ngrant = [\"code view names\"]\n");
        let learned = run(&project, ["--json", "plan", "--learn"]).succeeds().json();
        assert_eq!((learned[0]["written"].is_null(), learned[0]["refused"].to_string().as_str()), (true, "[]"));
        upgrade(&project).succeeds();
        run(&project, ["downgrade", "base"]).succeeds();
    }

    async fn approvals_outlive_the_policy(db: Database) {
        let grant = "[[rule]]\ngrant = [\"create table *\"]\n";
        let project = project(&db, grant);
        making_kept(&project, "b2", "");
        let locked = || run(&project, ["upgrade", "--locked"]);
        run(&project, ["build"]).succeeds();
        refused(locked(), &["it is not approved", "whimbrel approve b2"]);
        run(&project, ["approve", "--yes"]).succeeds();
        // A narrower policy is not undone by an approval of earlier.
        project.write("policy.toml", "[[rule]]\ndeny = [\"create table k*\"]\n");
        refused(locked(), &["the policy denies `create table k*`"]);
        // Where the settings say that there is a policy, there has to be one.
        fs::remove_file(project.path().join("policy.toml")).unwrap();
        project.write("whimbrel.toml", "policy = \"policy.toml\"\n");
        let outcome = locked().exits_with(2);
        assert!(outcome.stderr.contains("policy.toml: does not exist; write the policy there"), "{}", outcome.stderr);
        // Without any, what was approved is still all that runs.
        project.write("whimbrel.toml", "");
        making_kept(&project, "b2", "message = \"x\"");
        component(&project, "c3", "revises = \"b2\"");
        run(&project, ["build"]).succeeds();
        refused(locked(), &["c3", "it is not approved"]);
        run(&project, ["upgrade", "--locked", "b2"]).succeeds();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_is_never_taken_for_none() {
    let db = Database::sqlite();
    let project = project(&db, "");
    sql(&project, "a1", "", "CREATE TABLE t (x int);");
    let policy = project.path().join("policy.toml");
    let wrong = |says: &str| {
        let outcome = upgrade(&project).exits_with(2);
        let title = outcome.stderr.lines().next().unwrap_or_default();
        assert!(
            title.starts_with("Error: policy.toml") && title.contains(says),
            "{says}: {title}"
        );
    };
    for (text, says) in [
        (
            "[[rule]]\ngrants = []\n",
            "policy.toml:2: unknown key `grants`; did you mean `grant`?",
        ),
        (
            "\n\n[[rule]]\ngrant = [\"eat x\"]\n",
            "policy.toml:4: `eat x` is no capability",
        ),
        (
            "[[rule]]\nsigners = [\"me\"]\ndeny = [\"select x\"]\n",
            "policy.toml:1: no key in [signers] is called `me`",
        ),
        (
            "[signers]\nme = \"minisign.pub\"\n",
            "policy.toml:2: the key of `me` is no public key of minisign",
        ),
        (
            "[[rule]]\nrevisions = [\"people@*\"]\n",
            "policy.toml:2: `people@*` is a target",
        ),
        (
            "[[rule]]\ncomponents = [\"sha256:12\"]\n",
            "policy.toml:2: `sha256:12` is no digest",
        ),
        (
            "[[rule]]\nkind = \"sql\"\n",
            "policy.toml:1: the rule says nothing",
        ),
    ] {
        project.write("policy.toml", text);
        wrong(says);
    }
    project.write("policy.toml", b"\xff\xfe".as_slice());
    wrong("policy.toml: is not valid UTF-8");
    fs::remove_file(&policy).unwrap();
    symlink("nowhere.toml", &policy).unwrap();
    wrong("policy.toml: is a symbolic link that leads nowhere");
    fs::remove_file(&policy).unwrap();
    symlink("/etc/passwd", &policy).unwrap();
    wrong("policy.toml: leads out of the project's folder");
    fs::remove_file(&policy).unwrap();
    fs::create_dir(&policy).unwrap();
    wrong("policy.toml: is a folder");
    fs::remove_dir(&policy).unwrap();
    upgrade(&project).succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_cannot_be_read_is_not_one_that_no_rule_names() {
    let db = Database::sqlite();
    let digest = whimbrel::digest::Digest::of(b"forbidden");
    let project = project(
        &db,
        &format!(
            "[[rule]]\ngrant = [\"create table *\"]\n[[rule]]\ncomponents = [\"sha256:{digest}\"]\ndeny = [\"create table *\"]\n"
        ),
    );
    making_kept(&project, "b2", "");
    let wasm = project
        .path()
        .join("migrations/b2_adversary/adversary.wasm");
    fs::remove_file(&wasm).unwrap();
    fs::create_dir(&wasm).unwrap();
    let outcome = upgrade(&project);
    assert_ne!(outcome.status.code(), Some(0));
    assert!(
        outcome.stderr.contains("adversary.wasm"),
        "{}",
        outcome.stderr
    );
    let outcome = run(&project, ["check"]).exits_with(3);
    assert!(
        outcome
            .stderr
            .contains("a rule of the policy asks for the digest of each component"),
        "{}",
        outcome.stderr
    );
}
