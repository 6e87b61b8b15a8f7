#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use tempfile::TempDir;

use super::*;

fn project(file: &str) -> (TempDir, Arc<Root>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(CONFIG_FILE), file).unwrap();
    let root = Root::find(Utf8Path::from_path(folder.path()).unwrap(), None).unwrap();
    (folder, Arc::new(root))
}

fn load(file: &str, flags: Flags, environment: Environment) -> Result<Config, ConfigError> {
    Config::load(project(file).1, flags, environment)
}

fn nothing_set(_: &str) -> Option<String> {
    None
}

fn database_of(
    file: &str,
    flag: Option<&str>,
    environment: Environment,
) -> Result<String, ConfigError> {
    let flags = Flags {
        database: flag.map(str::to_owned),
        ..Flags::default()
    };
    load(file, flags, environment)?
        .database()
        .map(|database| database.url().to_owned())
}

/// What is wrong with a file, without its folder.
fn mistake(file: &str) -> String {
    let error = load(file, Flags::default(), nothing_set)
        .unwrap_err()
        .to_string();
    let (_, mistake) = error.split_once(CONFIG_FILE).unwrap();
    mistake.to_owned()
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = load("", Flags::default(), nothing_set).unwrap();
    assert_eq!(config.migrations, Utf8Path::new("migrations").into());
    assert_eq!(config.version_table.to_string(), "whimbrel_version");
    assert_eq!(config.lock_timeout, Duration::from_secs(3));
    assert_eq!(config.transaction, TransactionMode::Migration);
    assert_eq!(config.run_lock, RunLockKind::Auto);
}

#[test]
fn a_full_file_is_read() {
    let file = "migrations = '.'\nversion_table = 'ops.versions'\ntransaction = 'migration'\nlock_timeout = '1m 30s'\nrun_lock = 'lease'";
    let config = load(file, Flags::default(), nothing_set).unwrap();
    assert_eq!(config.migrations, Utf8Path::new(".").into());
    assert_eq!(config.version_table.schema(), Some("ops"));
    assert_eq!(config.version_table.name(), "versions");
    assert_eq!(config.lock_timeout, Duration::from_secs(90));
    assert_eq!(config.run_lock, RunLockKind::Lease);
}

#[test]
fn mistakes_name_line_and_what_was_meant() {
    let cases = [
        (
            "\ndatabse = 'x'",
            ":2: unknown key `databse`; did you mean `database`?",
        ),
        (
            "[databases.a]\nulr = 'x'",
            ":2: unknown key `ulr`; did you mean `url`?",
        ),
        (
            "isolation = 'container'",
            ":1: isolation = \"container\" is not known; use \"none\", or \"role\" with `guest_role`",
        ),
        (
            "isolation = 'role'",
            ": isolation = \"role\" needs `guest_role`, the role that migrations log in as",
        ),
        (
            "transaction = 'none'",
            ":1: transaction = \"none\" is not known; use \"migration\" (one for each migration) or \"run\" (one for all \
             that a command runs)",
        ),
        (
            "run_lock = 'none'",
            ":1: run_lock = \"none\" is not known; use \"auto\", \"session\" or \"lease\"",
        ),
        (
            "lock_timeout = 'soon'",
            ":1: `soon` is not a duration; write for example \"3s\", \"500ms\" or \"1m 30s\"",
        ),
        (
            "version_table = 'a\"b'",
            ":1: `a\"b` cannot name the version table; use `name` or `schema.name` of letters, digits and `_`, at \
             most 63 each",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(mistake(file), expected);
    }
}

#[test]
fn the_database_is_the_flag_then_the_environment_then_the_file() {
    let file = "database = 'sqlite:file.db'\n[databases.staging]\nurl = 'postgres://staging/db'";
    let own: Environment =
        |name| (name == "WHIMBREL_DATABASE_URL").then(|| "sqlite:own".to_owned());
    let both: Environment = |name| Some(format!("sqlite:{name}"));
    let empty: Environment = |_| Some(String::new());

    let url = |flag, environment| database_of(file, flag, environment).unwrap();
    assert_eq!(url(Some("sqlite:flag.db"), both), "sqlite:flag.db");
    assert_eq!(url(Some("staging"), both), "postgres://staging/db");
    assert_eq!(url(None, both), "sqlite:WHIMBREL_DATABASE_URL");
    assert_eq!(url(None, own), "sqlite:own");
    assert_eq!(url(None, empty), "sqlite:file.db");
    assert_eq!(url(None, nothing_set), "sqlite:file.db");
}

#[test]
fn a_database_that_is_not_named_is_an_error_with_a_guess() {
    let error =
        database_of("[databases.staging]\nurl = ''", Some("stagin"), nothing_set).unwrap_err();
    let ConfigError::UnknownDatabase { suggestion, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(suggestion.as_deref(), Some("staging"));
}

#[test]
fn variables_are_put_in_and_missing_ones_are_named() {
    let environment: Environment = |name| (name == "PASSWORD").then(|| "s3cret".to_owned());
    let file = "database = 'postgres://me:${PASSWORD}@db/x'";
    let url = database_of(file, None, environment).unwrap();
    assert_eq!(url, "postgres://me:s3cret@db/x");

    let error = database_of(file, None, nothing_set)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`database` in ")
            && error.ends_with(" reads ${PASSWORD}, which is not set in the environment"),
        "{error}"
    );
    let error = database_of("database = '${OPEN'", None, environment).unwrap_err();
    assert!(
        error.to_string().ends_with("has `${` without `}`"),
        "{error}"
    );
}

#[test]
fn an_address_is_never_shown() {
    let database = Database::new("postgres://me:s3cret@db/x", ".");
    assert!(!format!("{database:?}").contains("s3cret"));
}

#[test]
fn a_relative_path_starts_where_the_address_was_written() {
    let (_folder, root) = project("database = 'sqlite:file.db'");
    let flags = Flags {
        database: Some("sqlite:flag.db".to_owned()),
        directory: "elsewhere".into(),
        ..Flags::default()
    };
    let flag = Config::load(Arc::clone(&root), flags, nothing_set).unwrap();
    assert_eq!(flag.database().unwrap().base(), "elsewhere");
    let file = Config::load(Arc::clone(&root), Flags::default(), nothing_set).unwrap();
    assert_eq!(file.database().unwrap().base(), root.path());
}

#[test]
fn parameters_are_keys_and_values_and_the_last_one_counts() {
    let parameters = |given: &[&str]| {
        let flags = Flags {
            parameters: given.iter().map(ToString::to_string).collect(),
            ..Flags::default()
        };
        load("", flags, nothing_set).map(|config| config.parameters)
    };
    let read = parameters(&["a=1", "b=x=y", "a=2"]).unwrap();
    assert_eq!(read["a"], "2");
    assert_eq!(read["b"], "x=y");
    for bad in ["a", "=1"] {
        let error = parameters(&[bad]).unwrap_err().to_string();
        assert_eq!(error, format!("`-x {bad}` is not of the form key=value"));
    }
}

#[test]
fn the_project_is_found_from_a_folder_in_it() {
    let (folder, _) = project("");
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let found = Root::find(Utf8Path::from_path(&inner).unwrap(), None).unwrap();
    assert_eq!(found.path().as_std_path(), folder.path());
}

#[test]
fn a_project_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let start = Utf8Path::from_path(folder.path()).unwrap();
    let error = Root::find(start, None).unwrap_err();
    assert!(matches!(error, ConfigError::NotFound { .. }), "{error}");
    let missing = Root::find(start, Some(Utf8Path::new("other.toml"))).unwrap();
    let error = Config::load(Arc::new(missing), Flags::default(), nothing_set).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
}

#[test]
fn the_guests_password_comes_from_the_environment_when_it_is_needed() {
    let file = "isolation = 'role'\nguest_role = 'visitor'\nguest_password = '${PASSWORD}'";
    let config = load(file, Flags::default(), nothing_set).unwrap();
    let error = config.driver_settings().unwrap_err().to_string();
    assert!(
        error.contains("`guest_password`") && error.contains("${PASSWORD}"),
        "{error}"
    );
    let config = load(file, Flags::default(), |_| Some("s3cret".to_owned())).unwrap();
    let Isolation::Role(role) = config.driver_settings().unwrap().isolation else {
        unreachable!("the file says so");
    };
    assert_eq!((role.name(), role.password()), ("visitor", Some("s3cret")));
    assert!(!format!("{role:?}").contains("s3cret"));
}
