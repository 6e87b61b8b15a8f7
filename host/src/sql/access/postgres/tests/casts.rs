//! Casts that nothing in a statement asks for.

use super::{Changes, Name, Occasion, Subject, UserCast, read_with, verdict, weighing};

fn cast(
    source: (&str, &str),
    target: (&str, &str),
    function: &str,
    occasion: Occasion,
) -> UserCast {
    UserCast {
        source: Name::new(source.0, source.1),
        target: Name::new(target.0, target.1),
        function: Name::new("public", function),
        occasion,
    }
}

const INT4: (&str, &str) = ("pg_catalog", "int4");
const VESSEL: (&str, &str) = ("public", "vessel");

fn needs(sql: &str, casts: &[UserCast]) -> String {
    let read = read_with(sql, &Changes::default(), Subject::Component, casts);
    verdict(read)
}

#[test]
fn a_cast_is_made_wherever_a_value_must_fit() {
    let unpack = [cast(VESSEL, INT4, "unpack", Occasion::Fitting)];
    for (sql, found) in [
        (
            "INSERT INTO users (id) VALUES (ROW(1)::vessel)",
            "call public.unpack; insert public.users(id)",
        ),
        ("SELECT abs(ROW(1)::vessel)", "call public.unpack"),
        ("SELECT abs(ROW(1)::public.vessel)", "call public.unpack"),
        ("SELECT '{}'::vessel[]", "call public.unpack"),
        ("SELECT NULL::convoy", "call public.unpack"),
        (
            "SELECT abs(flag) FROM fleet",
            "call public.unpack; select public.fleet(flag)",
        ),
        (
            "INSERT INTO users (id) SELECT f.flag FROM fleet f",
            "call public.unpack; insert public.users(id); select public.fleet(flag)",
        ),
        (
            "SELECT abs(launch())",
            "call public.launch; call public.unpack",
        ),
    ] {
        assert_eq!(needs(sql, &unpack), found, "{sql}");
    }
}

#[test]
fn no_cast_is_made_where_its_types_are_not_met_with() {
    let casts = [
        cast(VESSEL, INT4, "unpack", Occasion::Fitting),
        cast(INT4, VESSEL, "pack", Occasion::Fitting),
    ];
    for (sql, found) in [
        (
            "INSERT INTO users (id) VALUES (1)",
            "insert public.users(id)",
        ),
        ("SELECT abs(1), lower('x')", "nothing"),
        ("SELECT 'x'::mood", "nothing"),
        ("SELECT slug('x')", "call public.slug"),
    ] {
        assert_eq!(needs(sql, &casts), found, "{sql}");
    }
}

#[test]
fn a_cast_that_must_be_written_is_made_only_where_it_is() {
    let casts = [cast(VESSEL, INT4, "unpack", Occasion::Written), weighing()];
    for (sql, found) in [
        ("SELECT abs(flag) FROM fleet", "select public.fleet(flag)"),
        (
            "INSERT INTO users (id) SELECT flag FROM fleet",
            "insert public.users(id); select public.fleet(flag)",
        ),
        (
            "SELECT flag::int FROM fleet",
            "call public.unpack; select public.fleet(flag)",
        ),
    ] {
        assert_eq!(needs(sql, &casts), found, "{sql}");
    }
}

#[test]
fn a_domain_is_what_is_under_it() {
    let casts = [cast(VESSEL, INT4, "unpack", Occasion::Written)];
    for sql in [
        "SELECT flag::depth FROM fleet",
        "SELECT flag::information_schema.cardinal_number FROM fleet",
        "SELECT CAST(flag AS depth[]) FROM fleet",
        "SELECT flag::convoy FROM fleet",
    ] {
        assert_eq!(
            needs(sql, &casts),
            "call public.unpack; select public.fleet(flag)",
            "{sql}"
        );
    }
}
