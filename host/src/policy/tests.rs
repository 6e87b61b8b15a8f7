#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use super::*;
use crate::capability::{Access, Action, Columns, Name};
use crate::digest::Digest;
use crate::signature::{Signature, VoidSignature};

const SIGNERS: &str = "[signers]\nrelease = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\nvendor-a = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n";

fn component(revision: &str) -> Facts<'_> {
    Facts {
        revision,
        labels: &[],
        subject: Subject::Component {
            path: "migrations/5b61_x/migration.wasm",
            digest: Some(Digest::of(b"x")),
            signature: &Signature::Absent,
        },
    }
}

fn sql(revision: &str) -> Facts<'_> {
    Facts {
        revision,
        labels: &[],
        subject: Subject::Sql {
            path: "migrations/a.sql",
        },
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}

#[test]
fn a_component_gets_what_it_asks_for_where_rules_grant_all_of_it() {
    let policy = policy(
        "[[rule]]\nrevisions = [\"5b*\"]\ngrant = [\"select users(id)\", \"update users\"]\n[[rule]]\ngrant = [\"select users(name)\"]\n",
    );
    let asked: Capabilities = "select users(id, name); update users(name)"
        .parse()
        .unwrap();
    let decision = policy.decide(&component("5b61"), Some(&asked), Limits::default());
    assert!(decision.is_admitted(), "{:?}", decision.reasons());
    assert_eq!(
        decision.grant.reach,
        crate::capability::Reach::Only(asked.clone())
    );
    let decision = policy.decide(&component("6c00"), Some(&asked), Limits::default());
    assert_eq!(decision.missing, asked);
    assert!(decision.reasons()[0].contains("no rule of the policy grants"));
}

#[test]
fn denials_win_whatever_the_order() {
    let grant = "[[rule]]\ngrant = [\"select *\", \"delete *\"]\n";
    let deny = "[[rule]]\ndeny = [\"delete audit_*\", \"select users(password)\"]\n";
    for text in [format!("{grant}{deny}"), format!("{deny}{grant}")] {
        let policy = policy(&text);
        let wholly: Capabilities = "delete audit_log".parse().unwrap();
        let decision = policy.decide(&component("a"), Some(&wholly), Limits::default());
        assert_eq!(decision.denied.len(), 1);
        assert!(!decision.is_admitted());
        // What is denied in part only stays, without that part.
        let partly: Capabilities = "select *".parse().unwrap();
        let decision = policy.decide(&component("a"), Some(&partly), Limits::default());
        assert!(decision.is_admitted());
        let read = |column: &str| {
            Access::new(Action::Select, Name::bare("users")).with_columns(Columns::some([column]))
        };
        assert!(decision.grant.check(&read("id"), "public").is_ok());
        assert!(decision.grant.check(&read("password"), "public").is_err());
    }
}

#[test]
fn more_rules_never_narrow_and_denials_never_widen() {
    let requests = [
        "select users(id)",
        "select *; delete logs",
        "create table tag_*; select users",
    ];
    let grants = [
        "select *",
        "delete logs",
        "create table *",
        "select users(id)",
    ];
    let denials = ["select users(password)", "delete *", "create table tag_x"];
    for request in requests {
        let asked: Capabilities = request.parse().unwrap();
        for set in 0_u32..1 << grants.len() {
            let rules = |set: u32| -> String {
                (0..grants.len())
                    .filter(|at| set & (1 << at) != 0)
                    .map(|at| format!("[[rule]]\ngrant = [\"{}\"]\n", grants[at]))
                    .collect()
            };
            let before =
                policy(&rules(set)).decide(&component("a"), Some(&asked), Limits::default());
            for more in 0..grants.len() {
                let after = policy(&rules(set | (1 << more))).decide(
                    &component("a"),
                    Some(&asked),
                    Limits::default(),
                );
                assert!(after.is_admitted() || !before.is_admitted());
            }
            for denial in denials {
                let text = format!("{}[[rule]]\ndeny = [\"{denial}\"]\n", rules(set));
                let after = policy(&text).decide(&component("a"), Some(&asked), Limits::default());
                assert!(before.is_admitted() || !after.is_admitted());
            }
        }
    }
}

#[test]
fn conditions_hold_together() {
    let labels = ["people".to_owned()];
    let facts = Facts {
        labels: &labels,
        ..component("5b61")
    };
    let matches = |conditions: &str| {
        policy(&format!("[[rule]]\n{conditions}\ndeny = [\"select x\"]\n")).rules[0].matches(&facts)
    };
    let digest = Digest::of(b"x").to_string();
    let other = Digest::of(b"y");
    assert!(matches(""));
    assert!(matches("labels = [\"peo*\"]"));
    assert!(!matches("labels = [\"planning\"]"));
    assert!(matches(
        "kind = \"component\"\nrevisions = [\"x\", \"5b61\"]"
    ));
    assert!(!matches("kind = \"sql\""));
    assert!(matches(&format!("components = [\"sha256:{digest}\"]")));
    let digest = digest.to_uppercase();
    assert!(matches(&format!("components = [\"sha256:{digest}\"]")));
    assert!(!matches(&format!("components = [\"sha256:{other}\"]")));
    assert!(matches("components = [\"migrations/*/migration.wasm\"]"));
    assert!(!matches(
        "components = [\"plugins/*\"]\nrevisions = [\"5b61\"]"
    ));
}

#[test]
fn a_sql_file_has_a_safe_default() {
    let decision = policy("").decide(&sql("a"), None, Limits::default());
    assert!(decision.is_admitted());
    let may = |action, name| {
        decision
            .grant
            .check(&Access::new(action, name), "public")
            .is_ok()
    };
    use crate::capability::{Code, Kind};
    assert!(may(Action::Alter(Kind::Table), Name::bare("users")));
    assert!(may(Action::Delete, Name::new("public", "users")));
    assert!(!may(Action::Delete, Name::new("app", "users")));
    assert!(!may(Action::Code(Code::Function), Name::bare("f")));
    assert!(!may(Action::Grant, Name::bare("users")));
    assert!(!may(Action::Extension, Name::bare("citext")));
    let more = policy("[[rule]]\nkind = \"sql\"\ngrant = [\"extension citext\"]\n");
    let decision = more.decide(&sql("a"), None, Limits::default());
    let citext = Access::new(Action::Extension, Name::bare("citext"));
    assert!(decision.grant.check(&citext, "public").is_ok());
}

#[test]
fn caps_lower_limits() {
    let policy = policy(
        "[[rule]]\ncap = { memory = \"1MiB\", time = \"2s\", rows-written = 5 }\n[[rule]]\ncap = { rows-written = 9, time = \"3h\" }\n",
    );
    let limits = |own| policy.decide(&component("a"), None, own).grant.limits;
    let own = Limits::default();
    assert_eq!(
        limits(own),
        Limits {
            memory: 1 << 20,
            time: Duration::from_secs(2),
            rows_written: 5,
            ..own
        }
    );
    let narrow = Limits { memory: 7, ..own };
    assert_eq!(limits(narrow).memory, 7, "a cap gives nothing");
}

#[test]
fn each_limit_of_a_manifest_has_a_cap() {
    const ALL: &str = "memory = 1\nfuel = 1\ntime = 1\nresult-rows = 1\nstatements = 1\nrows-written = 1\nresult-bytes = 1\n\
                       call-bytes = 1\nhandles = 1\nlog-lines = 1\nlog-bytes = 1\n";
    let limits: Limits = toml::from_str(ALL).unwrap();
    let cap: Cap = toml::from_str(ALL).unwrap();
    assert_eq!(cap.apply(Limits::NONE), limits);
}

#[test]
fn a_sql_file_that_asks_for_less_than_the_default_gets_that() {
    let asked: Capabilities = "create table users; insert users".parse().unwrap();
    let decide = |text: &str| policy(text).decide(&sql("a"), Some(&asked), Limits::NONE);
    let decision = decide("");
    assert!(decision.is_admitted(), "{:?}", decision.reasons());
    assert_eq!(
        decision.grant.reach,
        crate::capability::Reach::Only(asked.clone())
    );
    assert!(!decide("[[rule]]\ndeny = [\"insert *\"]\n").is_admitted());
    let asked: Capabilities = "code view v".parse().unwrap();
    let decision = policy("").decide(&sql("a"), Some(&asked), Limits::NONE);
    assert_eq!(decision.missing, asked);
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (text, line, message) in [
        (
            "[[rule]]\ngrants = []\n",
            2,
            "unknown key `grants`; did you mean `grant`?",
        ),
        (
            "rules = 1\n",
            1,
            "unknown key `rules`; did you mean `rule`?",
        ),
        (
            "[[rule]]\ngrant = [\"eat users\"]\n",
            2,
            "`eat users` is no capability",
        ),
        ("[[rule]]\nrevisions = []\n", 2, "the list is empty"),
        (
            "[[rule]]\ncap = { memry = 1 }\n",
            2,
            "did you mean `memory`",
        ),
        ("[[rule]]\ncap = { memory = \"lots\" }\n", 2, "64MiB"),
        (
            "[[rule]]\nkind = \"wasm\"\n",
            2,
            "unknown variant `wasm`, expected `component` or `sql`",
        ),
        (
            "\n[[rule]]\nsigners = [\"a\"]\ndeny = [\"select x\"]\n",
            2,
            "no key in [signers] is called `a`; write its minisign public key there",
        ),
        ("[[rule]]\nsigners = []\n", 2, "the list is empty"),
        (
            "[[rule]]\nsigner = \"a\"\n",
            2,
            "unknown key `signer`; did you mean `signers`?",
        ),
        (
            "[signers]\n\nrelease = \"RWQf6LRCGA9i53\"\n",
            3,
            "the key of `release` is no public key of minisign: write the second line",
        ),
        (
            "[signers]\n\"a b\" = \"x\"\n",
            2,
            "`a b` cannot name a signer: write letters",
        ),
        ("[signers]\nrelease = 1\n", 2, "expected a string"),
        (
            "[[rule]]\nkind = \"sql\"\nsigners = [\"a\"]\ndeny = [\"select x\"]\n",
            1,
            "a SQL file has no signer",
        ),
        (
            "[[rule]]\nrevisions = [\"people@*\"]\n",
            2,
            "write labels = [\"people\"]",
        ),
        (
            "[[rule]]\nrevisions = [\"head\"]\n",
            2,
            "`head` is no id and no label",
        ),
        (
            "[[rule]]\nlabels = [\"a b*\"]\n",
            2,
            "`a b*` is no id and no label",
        ),
        (
            "[[rule]]\ncomponents = [\n  \"sha256:ab12\",\n]\n",
            2,
            "`sha256:ab12` is no digest: write `sha256:`",
        ),
        (
            "[[rule]]\ncomponents = [\"SHA256:ab\"]\n",
            2,
            "`SHA256:ab` is no path: write `sha256:`",
        ),
        (
            "[[rule]]\ncomponents = [\"./x.wasm\"]\n",
            2,
            "without `.` and `..`",
        ),
        (
            "[[rule]]\ncomponents = [\"/x.wasm\"]\n",
            2,
            "from the project's folder on",
        ),
        (
            "\n[[rule]]\nkind = \"sql\"\ncomponents = [\"x.wasm\"]\ndeny = [\"select x\"]\n",
            2,
            "a SQL file has no component",
        ),
        (
            "[[rule]]\ndeny = [\"select x\"]\n\n[[rule]]\nkind = \"sql\"\n",
            4,
            "the rule says nothing",
        ),
        ("[[rule]\n", 1, ""),
    ] {
        let error = Policy::parse(text).unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.line, Some(line), "{text}: {error}");
    }
    let digest = Digest::of(b"x");
    let error = Policy::parse(&format!("[[rule]]\ncomponents = [\"{digest}\"]\n")).unwrap_err();
    assert!(error.message.contains("write `sha256:`"), "{error}");
}

#[test]
fn a_rule_knows_components_by_who_signed_them() {
    let by = |names: &[&str]| Signature::By(names.iter().map(|&name| name.to_owned()).collect());
    let matches = |patterns: &str, signature: &Signature| {
        let rule = format!("{SIGNERS}[[rule]]\nsigners = [{patterns}]\ndeny = [\"select x\"]\n");
        policy(&rule).rules[0].matches(&Facts {
            subject: Subject::Component {
                path: "migrations/5b61_x/migration.wasm",
                digest: None,
                signature,
            },
            ..component("5b61")
        })
    };
    assert!(matches("\"release\"", &by(&["release"])));
    assert!(matches("\"rel*\", \"vendor*\"", &by(&["vendor-a"])));
    assert!(matches("\"vendor*\"", &by(&["release", "vendor-a"])));
    assert!(!matches("\"vendor*\"", &by(&["release"])));
    let void = Signature::Void(VoidSignature::Mismatch);
    for unsigned in [&Signature::Absent, &void] {
        assert!(!matches("\"*\"", unsigned));
    }
    let all = policy(&format!(
        "{SIGNERS}[[rule]]\nsigners = [\"*\"]\ndeny = [\"select x\"]\n"
    ));
    assert!(!all.rules[0].matches(&sql("a")));
    let error = Policy::parse(&format!(
        "{SIGNERS}[[rule]]\nsigners = [\"relase\"]\ngrant = [\"select x\"]\n"
    ));
    let error = error.unwrap_err();
    assert_eq!(error.line, Some(4));
    assert!(error.message.contains("did you mean `release`?"), "{error}");
}

#[test]
fn a_signature_that_counts_for_nothing_is_told_to_whom_it_might_have_helped() {
    let policy = policy(&format!(
        "{SIGNERS}[[rule]]\nsigners = [\"release\"]\ngrant = [\"select users\"]\n[[rule]]\ngrant = [\"select pets\"]\n"
    ));
    let decide = |asked: &str| {
        let facts = Facts {
            subject: Subject::Component {
                path: "x.wasm",
                digest: None,
                signature: &Signature::Void(VoidSignature::UnknownKey),
            },
            ..component("a")
        };
        let asked = asked.parse().unwrap();
        policy.decide(&facts, Some(&asked), Limits::default())
    };
    let reasons = decide("select users").reasons();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[1].contains("it is by a key that is not in [signers]"));
    assert!(decide("select pets").reasons().is_empty());
}

#[test]
fn a_rule_knows_its_line() {
    let policy = policy(
        "# first\n[[rule]]\ngrant = [\"select a\"]\n\n# then\n[[rule]]\ngrant = [\"select b\"]\n",
    );
    let lines: Vec<_> = policy.rules.iter().map(|rule| rule.line).collect();
    assert_eq!(lines, [Some(2), Some(6)]);
}
