#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn capability(text: &str) -> Capability {
    text.parse().unwrap()
}

fn access(action: Action, name: &str, columns: Option<&[&str]>) -> Access {
    let name = match name.split_once('.') {
        Some((schema, name)) => Name::new(schema, name),
        None => Name::bare(name),
    };
    Access::new(action, name)
        .with_columns(columns.map_or(Columns::All, |names| Columns::some(names.iter().copied())))
}

#[test]
fn each_text_is_read_and_written_the_same() {
    for text in [
        "select users",
        "select app.users(email, id)",
        "insert users",
        "update users(name)",
        "delete \"Odd Name\"",
        "truncate *.log_*",
        "create table public.tag_*",
        "create index on users",
        "drop text search x",
        "code trigger on users",
        "code default on users",
        "grant on users",
        "call public.slug",
        "extension citext",
        "extension \"uuid-ossp\"",
        "copy orders",
        "select \"a\\*b\"",
        "select \"A*\"",
        "select users()",
    ] {
        assert_eq!(capability(text).to_string(), text);
    }
    for action in Action::NAMED {
        let text = format!("{action} x");
        assert_eq!(capability(&text).action, action, "{text}");
        assert_eq!(capability(&text).to_string(), text);
    }
    assert_eq!(
        capability("SELECT  Users ( ID )").to_string(),
        "select users(id)"
    );
}

#[test]
fn what_is_no_capability_says_why() {
    for (text, why) in [
        ("", "must begin with"),
        ("select", "must begin with"),
        ("eat users", "must begin with"),
        ("select users(", "name of an object is missing"),
        ("select users(a b)", "`)` is missing"),
        ("select users(a) x", "`x` is not expected"),
        ("delete users(a)", "not of single columns"),
        ("select a.b.c", "`.c` is not expected"),
        ("select \"a", "`\"` is missing"),
        ("select \"\"", "empty"),
        ("select users(*)", "without `*`"),
        ("create users", "must begin with"),
        ("select a;drop", "`;drop` is not expected"),
    ] {
        let error = text.parse::<Capability>().unwrap_err();
        assert!(error.reason.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_pattern_without_a_schema_is_of_the_default_one() {
    let select = |text: &str, name: &str| {
        Capabilities::from_iter([capability(text)])
            .allow(&access(Action::Select, name, None), "public")
    };
    assert!(select("select users", "users"));
    assert!(select("select users", "public.users"));
    assert!(!select("select users", "secret.users"));
    assert!(select("select *.users", "secret.users"));
    assert!(!select("select *", "secret.users"));
    assert!(select("select u*rs", "users"));
    assert!(!select("select use*ers", "users"));
    assert!(select("select *e*s*", "users"));
    assert!(!select("select user", "users"));
}

#[test]
fn columns_come_together_from_several_capabilities() {
    let granted: Capabilities = "select users(a); select users(b); update users"
        .parse()
        .unwrap();
    let may = |columns| granted.allow(&access(Action::Select, "users", columns), "public");
    assert!(may(Some(&["a", "b"])));
    assert!(may(Some(&[])));
    assert!(!may(Some(&["a", "c"])));
    assert!(!may(None));
    assert!(granted.cover(&capability("select users(a, b)")));
    assert!(!granted.cover(&capability("select users")));
    assert!(granted.cover(&capability("update users(x)")));
    assert!(granted.allow(&access(Action::Write, "users", None), "public"));
    assert!(!granted.allow(&access(Action::Delete, "users", None), "public"));
}

#[test]
fn a_wildcard_covers_narrower_ones_only() {
    let covers = |a: &str, b: &str| capability(a).covers(&capability(b));
    assert!(covers("select a*", "select ab*"));
    assert!(!covers("select ab*", "select a*"));
    assert!(covers("select *", "select a*b"));
    assert!(!covers("select *", "select app.a"));
    assert!(covers("select *.*", "select app.a"));
    assert!(covers("select *.*", "select a"));
    assert!(!covers("select public.a", "select a"));
    assert!(!covers("select a", "update a"));
}

#[test]
fn denials_win() {
    let grant = Grant {
        denied: "select users(password); delete audit_*".parse().unwrap(),
        ..Grant::only("select *; delete *".parse().unwrap())
    };
    let check = |access: &Access| grant.check(access, "public");
    assert!(check(&access(Action::Select, "users", Some(&["id"]))).is_ok());
    assert!(check(&access(Action::Delete, "users", None)).is_ok());
    for denied in [
        access(Action::Select, "users", None),
        access(Action::Select, "users", Some(&["id", "password"])),
        access(Action::Delete, "audit_2024", None),
    ] {
        let error = check(&denied).unwrap_err();
        assert!(error.denied_by.is_some(), "{denied}");
    }
    let error = check(&access(Action::Update, "users", None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`update users` is not granted: granted there: `select *`, `delete *`"
    );
}

#[test]
fn a_manifest_asks_by_kind() {
    let request: Request = toml::from_str(
        "select = [\"users(id)\"]\nddl = [\"create table tag_*\"]\ncode = [\"trigger on users\"]\nextensions = [\"citext\"]\n",
    )
    .unwrap();
    let texts: Vec<String> = request
        .capabilities
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "select users(id)",
            "create table tag_*",
            "code trigger on users",
            "extension citext"
        ]
    );
    let again: Request = toml::from_str(&toml::to_string(&request).unwrap()).unwrap();
    assert_eq!(again, request);
    let wrong = |text: &str| toml::from_str::<Request>(text).unwrap_err().to_string();
    assert!(wrong("ddl = [\"select x\"]").contains("belongs under `select`"));
    assert!(wrong("selects = [\"x\"]").contains("`selects` is not known"));
    assert!(wrong("select = [\"x y\"]").contains("`y` is not expected"));
}
