//! Rules that know components by who signed them.

use std::fs;
use std::os::unix::fs::symlink;

use camino::Utf8PathBuf;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use whimbrel_tests::{Database, Project, on_every_database};

use super::{has_table, making_kept, project, refused, run, sql, upgrade};

const SIGNATURE: &str = "migrations/b2_adversary/adversary.wasm.minisig";
const NO_RULE: &str = "asks for `create table kept`, which no rule of the policy grants";
const FOR_NOTHING: &str = "has a signature that counts for nothing";

/// A pair of keys as minisign has them, all with the same id: it is the key that counts.
fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

/// What minisign writes of a key or of a signature: the algorithm, the id of the key, and the bytes.
fn packed(bytes: &[u8]) -> String {
    base64(&[b"Ed\0whimbr\0".as_slice(), bytes].concat())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let [a, b, c] = three.map(u32::from);
        let bits = (a << 16) | (b << 8) | c;
        for at in 0..4 {
            text.push(match at <= chunk.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

/// A policy that knows keys, and says something of what `release` signs.
fn policy(keys: &[(&str, &KeyPair)], rules: &str) -> String {
    let keys = keys
        .iter()
        .map(|(name, key)| format!("{name} = \"{}\"\n", packed(key.public_key_raw())));
    format!("[signers]\n{}{rules}", keys.collect::<String>())
}

const GRANT: &str = "[[rule]]\nsigners = [\"release\"]\ngrant = [\"create table *\"]\n";

fn wasm(project: &Project) -> Utf8PathBuf {
    project
        .path()
        .join("migrations/b2_adversary/adversary.wasm")
}

fn sign(project: &Project, key: &KeyPair) {
    let content = fs::read(wasm(project)).unwrap();
    let signature = key.sign(&content).unwrap();
    let comment = "timestamp:1795996800";
    let both = key.sign(&[&signature, comment.as_bytes()].concat());
    let text = format!(
        "untrusted comment: a test\n{}\ntrusted comment: {comment}\n{}\n",
        packed(&signature),
        base64(&both.unwrap())
    );
    project.write(SIGNATURE, text);
}

on_every_database! {
    async fn a_component_may_what_is_granted_to_its_signer(db: Database) {
        let (ours, other) = (key(), key());
        let project = project(&db, &policy(&[("release", &ours), ("vendor-a", &other)], GRANT));
        making_kept(&project, "b2", "");
        let unsigned = upgrade(&project);
        assert!(!unsigned.stderr.contains(FOR_NOTHING), "{}", unsigned.stderr);
        refused(unsigned, &["revision b2 may not run", NO_RULE]);
        // By a key that the policy knows, and the rule does not mean.
        sign(&project, &other);
        refused(upgrade(&project), &[NO_RULE]);
        sign(&project, &ours);
        let approved = run(&project, ["approve", "--yes"]).succeeds();
        assert!(approved.stdout.contains("signed by release"), "{}", approved.stdout);
        let shown = run(&project, ["show", "b2"]).succeeds().stdout;
        assert!(shown.contains("Signature:  signed by release"), "{shown}");
        let shown = run(&project, ["--json", "show", "b2"]).succeeds().json();
        assert_eq!(shown[0]["rights"]["signed_by"], serde_json::json!(["release"]));
        // What was approved is refused all the same once nobody has signed it.
        fs::remove_file(project.path().join(SIGNATURE)).unwrap();
        refused(run(&project, ["upgrade"]), &[NO_RULE]);
        assert!(!has_table(&db, "kept").await);
        sign(&project, &ours);
        run(&project, ["upgrade"]).succeeds();
        assert!(has_table(&db, "kept").await);
        // SQL files have no signer, whatever lies beside them.
        sql(&project, "c3", "-- revises: b2\n-- capabilities: code view v\n", "CREATE VIEW v AS SELECT x FROM kept;");
        project.write("policy.toml", policy(&[("release", &ours)], &format!("{GRANT}[[rule]]\nsigners = [\"*\"]\ngrant = [\"code view *\"]\n")));
        project.write("migrations/c3_test.sql.minisig", fs::read(project.path().join(SIGNATURE)).unwrap());
        refused(upgrade(&project), &["asks for `code view v`, which no rule of the policy grants"]);
    }

    async fn a_signature_that_does_not_verify_grants_nothing(db: Database) {
        let (ours, other) = (key(), key());
        let project = project(&db, &policy(&[("release", &ours)], GRANT));
        making_kept(&project, "b2", "");
        sign(&project, &other);
        refused(upgrade(&project), &[NO_RULE, FOR_NOTHING, "does not verify under the key in [signers]"]);
        sign(&project, &ours);
        let content = fs::read(wasm(&project)).unwrap();
        // A custom section more, so that it does the same.
        fs::write(wasm(&project), [content.as_slice(), b"\0\x02\x01x"].concat()).unwrap();
        refused(upgrade(&project), &[NO_RULE, FOR_NOTHING, "does not verify under the key in [signers]"]);
        let shown = run(&project, ["show", "b2"]).succeeds().stdout;
        assert!(shown.contains("Signature:  counts for nothing: it does not verify"), "{shown}");
        fs::write(wasm(&project), content).unwrap();
        let signature = fs::read_to_string(project.path().join(SIGNATURE)).unwrap();
        project.write(SIGNATURE, signature.replace("timestamp", "timestomp"));
        refused(upgrade(&project), &[NO_RULE, "does not verify under the key in [signers]"]);
        project.write(SIGNATURE, "signed, me\n");
        refused(upgrade(&project), &[NO_RULE, FOR_NOTHING, "is no signature of minisign"]);
        assert!(!has_table(&db, "kept").await);
        // Where no rule needs it, it keeps nothing from running.
        project.write("policy.toml", policy(&[("release", &ours)], "[[rule]]\ngrant = [\"create table *\"]\n"));
        let approved = run(&project, ["approve", "--yes"]).succeeds();
        assert!(approved.stdout.contains("its signature counts for nothing"), "{}", approved.stdout);
        run(&project, ["upgrade"]).succeeds();
    }

    async fn what_is_denied_to_a_signer_nothing_else_grants(db: Database) {
        let (ours, other) = (key(), key());
        let deny = "[[rule]]\nsigners = [\"vendor*\"]\ndeny = [\"create table k*\"]\n";
        let grant = "[[rule]]\ngrant = [\"create table *\"]\n";
        for rules in [format!("{grant}{deny}"), format!("{deny}{grant}")] {
            let project = project(&db, &policy(&[("release", &ours), ("vendor-a", &other)], &rules));
            making_kept(&project, "b2", "");
            sign(&project, &other);
            refused(upgrade(&project), &["asks for `create table kept`; the policy denies `create table k*`"]);
        }
        // The same key by two names is both.
        let both = policy(&[("release", &other), ("vendor-a", &other)], &format!("{GRANT}{deny}"));
        let project = project(&db, &both);
        making_kept(&project, "b2", "");
        sign(&project, &other);
        refused(upgrade(&project), &["the policy denies `create table k*`"]);
        assert!(!has_table(&db, "kept").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_cannot_be_read_is_not_taken_for_none() {
    let db = Database::sqlite();
    let ours = key();
    let rules = "[[rule]]\ngrant = [\"create table *\"]\n[[rule]]\nsigners = [\"release\"]\ndeny = [\"create table *\"]\n";
    let project = project(&db, &policy(&[("release", &ours)], rules));
    making_kept(&project, "b2", "");
    run(&project, ["approve", "--yes"]).succeeds();
    let signature = project.path().join(SIGNATURE);
    let told = |says: &str| {
        let outcome = run(&project, ["upgrade"]);
        assert_ne!(outcome.status.code(), Some(0), "{says}");
        let text = format!("{SIGNATURE}: {says}");
        assert!(outcome.stderr.contains(&text), "{text}\n{}", outcome.stderr);
        let outcome = run(&project, ["check"]).exits_with(3);
        let text = format!("policy.toml: the policy asks who signed each component: {text}");
        assert!(outcome.stderr.contains(&text), "{text}\n{}", outcome.stderr);
    };
    fs::create_dir(&signature).unwrap();
    told("cannot be read");
    fs::remove_dir(&signature).unwrap();
    symlink("nowhere", &signature).unwrap();
    told("cannot be read");
    fs::remove_file(&signature).unwrap();
    symlink("/etc/passwd", &signature).unwrap();
    told("leads out of the project's folder");
    fs::remove_file(&signature).unwrap();
    fs::write(&signature, b"\xff\xfe").unwrap();
    told("is not valid UTF-8");
    fs::write(&signature, " ".repeat((64 << 10) + 1)).unwrap();
    told("has more than 65536 bytes");
    sign(&project, &ours);
    refused(
        run(&project, ["upgrade"]),
        &["the policy denies `create table *`"],
    );
    assert!(!has_table(&db, "kept").await);
    fs::remove_file(&signature).unwrap();
    run(&project, ["upgrade"]).succeeds();
}
