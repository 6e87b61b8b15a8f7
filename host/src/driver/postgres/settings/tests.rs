#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use super::*;

fn parse(url: &str) -> ConnectSettings {
    parse_in(url, &[("USER", "ann")]).unwrap()
}

fn parse_in(url: &str, variables: &[(&str, &str)]) -> Result<ConnectSettings, DriverError> {
    ConnectSettings::parse(url, &Environment::of(variables))
}

fn message(url: &str) -> String {
    match parse_in(url, &[("USER", "ann")]) {
        Err(DriverError::Settings { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_parts_of_a_url_are_read() {
    let settings = parse(
        "postgres://bob:p%40ss%3A1@db.example:5433/app?sslmode=verify-full&connect_timeout=7&options=-c%20a%3Db",
    );
    assert_eq!(settings.location(), "postgres://bob@db.example:5433/app");
    assert_eq!(settings.password.as_ref().unwrap().reveal(), "p@ss:1");
    assert_eq!(settings.tls.mode, SslMode::VerifyFull);
    assert_eq!(settings.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(settings.options.as_deref(), Some("-c a=b"));
    assert_eq!(settings.application_name, "whimbrel");
}

#[test]
fn user_and_database_default_to_the_user_of_the_system() {
    assert_eq!(
        parse("postgres://host").location(),
        "postgres://ann@host:5432/ann"
    );
    assert_eq!(
        parse("postgresql://bob@host").location(),
        "postgres://bob@host:5432/bob"
    );
    assert!(parse_in("postgres://host", &[]).is_err());
}

#[test]
fn several_hosts_take_one_port_or_one_each() {
    assert_eq!(
        parse("postgres://a:1,b:2/d").location(),
        "postgres://ann@a:1,b:2/d"
    );
    assert_eq!(
        parse("postgres://a,b/d?port=9").location(),
        "postgres://ann@a:9,b:9/d"
    );
    assert_eq!(
        parse("postgres://a,b:2/d").location(),
        "postgres://ann@a:5432,b:2/d"
    );
    assert_eq!(
        parse("postgres://[::1]:3/d").location(),
        "postgres://ann@[::1]:3/d"
    );
    assert!(message("postgres://a,b,c/d?port=1,2").contains("3 hosts but 2 ports"));
}

#[test]
fn socket_directories_are_known_by_their_slash() {
    for url in [
        "postgres:///d?host=/var/run/x",
        "postgres://%2Fvar%2Frun%2Fx/d",
    ] {
        assert_eq!(
            parse(url).targets[0].host,
            Host::Unix(PathBuf::from("/var/run/x")),
            "{url}"
        );
    }
}

#[test]
fn the_environment_fills_in_what_the_url_leaves_out() {
    let environment = [
        ("USER", "ann"),
        ("PGHOST", "envhost"),
        ("PGPORT", "1234"),
        ("PGUSER", "envuser"),
        ("PGDATABASE", "envdb"),
        ("PGPASSWORD", "envpass"),
        ("PGSSLMODE", "disable"),
        ("PGAPPNAME", "app"),
    ];
    let settings = parse_in("postgres://", &environment).unwrap();
    assert_eq!(settings.location(), "postgres://envuser@envhost:1234/envdb");
    assert_eq!(settings.tls.mode, SslMode::Disable);
    assert_eq!(settings.application_name, "app");
    let settings = parse_in("postgres://u@h:1/d?sslmode=require", &environment).unwrap();
    assert_eq!(settings.location(), "postgres://u@h:1/d");
    assert_eq!(settings.tls.mode, SslMode::Require);
}

#[test]
fn mistakes_are_named_and_passwords_are_not() {
    assert_eq!(
        message("postgres://h/d?sslmod=require"),
        "the parameter `sslmod` in the database URL is not known; did you mean `sslmode`?"
    );
    assert_eq!(
        message("postgres://h/d?gssencmode=require"),
        "`gssencmode` in the database URL is `require`; use one of `disable`, `prefer`"
    );
    assert!(message("postgres://h:x/d").contains("`x` is not a port"));
    assert!(message("postgres://h/d?connect_timeout=soon").contains("use a whole number"));
    let wrong = message("postgres://u:hun%ter2@h/d");
    assert!(
        wrong.contains("the password") && !wrong.contains("ter2"),
        "{wrong}"
    );
    let shown = format!("{:?}", parse("postgres://u:hunter2@h/d"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn public_authorities_are_only_trusted_with_the_name_checked() {
    assert_eq!(
        parse("postgres://h/d?sslrootcert=system").tls.mode,
        SslMode::VerifyFull
    );
    assert!(message("postgres://h/d?sslrootcert=system&sslmode=require").contains("verify-full"));
}
