#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use super::*;
use crate::capability::{Access, Action, Columns, Name};

fn component(revision: &str) -> Facts<'_> {
    Facts {
        revision,
        labels: &[],
        subject: Subject::Component {
            path: "migrations/5b61_x/migration.wasm",
            digest: "ab12",
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
    let matches =
        |conditions: &str| policy(&format!("[[rule]]\n{conditions}\n")).rules[0].matches(&facts);
    assert!(matches(""));
    assert!(matches("labels = [\"peo*\"]"));
    assert!(!matches("labels = [\"planning\"]"));
    assert!(matches(
        "kind = \"component\"\nrevisions = [\"x\", \"5b61\"]"
    ));
    assert!(!matches("kind = \"sql\""));
    assert!(matches("components = [\"sha256:AB12\"]"));
    assert!(!matches("components = [\"sha256:ab13\"]"));
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
    let policy = policy("[[rule]]\ncap = { memory = \"1MiB\", time = \"2s\", rows-written = 5 }\n");
    let limits = policy
        .decide(&component("a"), None, Limits::default())
        .grant
        .limits;
    assert_eq!(
        (limits.memory, limits.time, limits.rows_written),
        (1 << 20, Duration::from_secs(2), 5)
    );
    assert_eq!(limits.fuel, Limits::default().fuel);
}

#[test]
fn mistakes_are_told_with_their_line() {
    let wrong = |text: &str| Policy::parse(text).unwrap_err().to_string();
    assert!(
        wrong("[[rule]]\ngrants = []\n")
            .contains("line 2: unknown key `grants`; did you mean `grant`?")
    );
    assert!(wrong("[[rule]]\ngrant = [\"eat users\"]\n").contains("`eat users` is no capability"));
    assert!(wrong("[[rule]]\nrevisions = []\n").contains("list is empty"));
    assert!(wrong("[[rule]]\ncap = { memry = 1 }\n").contains("did you mean `memory`"));
    assert!(wrong("[[rule]]\nkind = \"wasm\"\n").contains("line 2"));
}
