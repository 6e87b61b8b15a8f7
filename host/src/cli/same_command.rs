//! Commands on the same project and database, as their reader can type them.

use camino::Utf8Path;

use super::global::Global;

/// The program with the flags that lead to the same project and database, without a password.
pub(crate) fn program(global: &Global) -> String {
    let mut words = vec!["whimbrel".to_owned()];
    if global.directory != "." {
        words.extend(["-C".to_owned(), quoted(global.directory.as_str())]);
    }
    if let Some(config) = &global.config {
        words.extend(["--config".to_owned(), quoted(config.as_str())]);
    }
    if let Some(database) = &global.database {
        let database = without_password(database);
        words.extend(["--database".to_owned(), quoted(&database)]);
    }
    words.join(" ")
}

/// `whimbrel restore FILE` on the same database.
pub(crate) fn restore(global: &Global, file: &Utf8Path) -> String {
    let dashes = match file.as_str().starts_with('-') {
        true => "-- ",
        false => "",
    };
    format!(
        "{} restore {dashes}{}",
        program(global),
        quoted(file.as_str())
    )
}

/// The address without what nobody else may read; a name is no address.
fn without_password(database: &str) -> String {
    let Some((scheme, rest)) = database.split_once("://") else {
        return database.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    // A password may hold a slash or an `@` that should have been escaped: the last `@` ends it.
    let rest = match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{user}@{place}")
        }
        None => rest.to_owned(),
    };
    let kept: Vec<&str> = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|parameter| !parameter.starts_with("password="))
        .collect();
    match kept.as_slice() {
        [] => format!("{scheme}://{rest}"),
        kept => format!("{scheme}://{rest}?{}", kept.join("&")),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@=%+,-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            ("staging", "staging"),
            ("sqlite:app.db", "sqlite:app.db"),
            ("postgres://me@db/app", "postgres://me@db/app"),
            ("postgres://me:secret@db/app", "postgres://me@db/app"),
            (
                "postgres://me:se/cr@et@db:5432/app",
                "postgres://me@db:5432/app",
            ),
            (
                "postgres:///app?password=secret&sslmode=require",
                "postgres:///app?sslmode=require",
            ),
        ] {
            assert_eq!(without_password(given), shown);
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("a/b-1.backup"), "a/b-1.backup");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
