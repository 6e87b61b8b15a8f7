//! Lists of the server's own functions and relations: which are harmless, and which are out of reach.

use std::collections::HashSet;
use std::sync::LazyLock;

const SAFE_FUNCTIONS: &str = include_str!("data/safe_functions.txt");
const FORBIDDEN_FUNCTIONS: &str = include_str!("data/forbidden_functions.txt");
const SETTABLE_SETTINGS: &str = include_str!("data/settable_settings.txt");
const SYSTEM_RELATIONS: &str = include_str!("data/system_relations.txt");

static SAFE: LazyLock<Names> = LazyLock::new(|| Names::read(words(SAFE_FUNCTIONS)));
static FORBIDDEN: LazyLock<Names> = LazyLock::new(|| Names::read(words(FORBIDDEN_FUNCTIONS)));
static SETTABLE: LazyLock<Names> = LazyLock::new(|| Names::read(words(SETTABLE_SETTINGS)));
static OPEN: LazyLock<Names> = LazyLock::new(|| section("[open]"));
static CLOSED: LazyLock<Names> = LazyLock::new(|| section("[closed]"));

/// The settings that `current_setting` may tell.
const OPEN_SETTINGS: [&str; 16] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "default_text_search_config",
    "intervalstyle",
    "is_superuser",
    "lc_monetary",
    "lc_numeric",
    "lock_timeout",
    "max_identifier_length",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "statement_timeout",
    "timezone",
];

/// Why another setting is not set.
pub(super) const NOT_SETTABLE: &str = "the setting is not among those that change neither who runs a statement, how it is read, nor what is checked";

/// Names, some of them with a star for their rest.
struct Names {
    whole: HashSet<&'static str>,
    starts: Vec<&'static str>,
}

impl Names {
    fn read(words: impl Iterator<Item = &'static str>) -> Self {
        let (mut whole, mut starts) = (HashSet::new(), Vec::new());
        for word in words {
            match word.strip_suffix('*') {
                Some(start) => starts.push(start),
                None => {
                    whole.insert(word);
                }
            }
        }
        Self { whole, starts }
    }

    fn have(&self, name: &str) -> bool {
        self.whole.contains(name) || self.starts.iter().any(|start| name.starts_with(start))
    }
}

fn words(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
}

fn section(title: &str) -> Names {
    let rest = SYSTEM_RELATIONS
        .split_once(title)
        .map_or("", |(_, rest)| rest);
    let section = rest.split_once("\n[").map_or(rest, |(section, _)| section);
    Names::read(words(section))
}

/// Whether any migration may call a function of `pg_catalog`.
pub(super) fn is_safe_function(name: &str) -> bool {
    SAFE.have(name) && !FORBIDDEN.have(name)
}

/// Whether no component may call a function, whatever it is granted.
pub(super) fn is_forbidden_function(name: &str) -> bool {
    FORBIDDEN.have(name)
}

/// How a relation of the server's may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By everyone.
    Open,
    /// By those to whom it is granted by its name.
    Granted,
    /// By nobody.
    Closed,
}

/// How a relation of `pg_catalog` or `information_schema` may be read.
pub(super) fn system_relation(schema: &str, name: &str) -> Reading {
    let written = match schema {
        "pg_catalog" => name.to_owned(),
        _ => format!("{schema}.{name}"),
    };
    if CLOSED.have(&written) {
        Reading::Closed
    } else if OPEN.have(&written) {
        Reading::Open
    } else {
        Reading::Granted
    }
}

/// Whether `current_setting` may tell a setting.
pub(super) fn is_open_setting(name: &str) -> bool {
    OPEN_SETTINGS.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a SQL file or a function may set a setting. That of a transaction is written `TRANSACTION`.
pub(super) fn is_settable(name: &str) -> bool {
    SETTABLE.have(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_both_safe_and_forbidden() {
        let both: Vec<_> = SAFE
            .whole
            .iter()
            .filter(|name| FORBIDDEN.have(name))
            .collect();
        assert!(both.is_empty(), "{both:?}");
        assert!(SAFE.starts.is_empty());
        assert!(SAFE.whole.len() > 1500);
    }

    #[test]
    fn what_runs_texts_reads_files_or_outlives_the_transaction_is_forbidden() {
        for name in [
            "set_config",
            "query_to_xml",
            "table_to_xml_and_xmlschema",
            "ts_stat",
            "dblink_exec",
            "lo_import",
            "pg_read_file",
            "pg_advisory_xact_lock",
            "pg_notify",
            "pg_terminate_backend",
            "pg_sleep",
        ] {
            assert!(is_forbidden_function(name), "{name}");
        }
        for name in [
            "lower",
            "now",
            "jsonb_build_object",
            "count",
            "gen_random_uuid",
            "row_number",
        ] {
            assert!(is_safe_function(name), "{name}");
        }
        for name in ["nextval", "pg_stat_get_live_tuples", "lo_get", "nosuch"] {
            assert!(!is_safe_function(name), "{name}");
        }
    }

    #[test]
    fn nobody_sets_how_statements_are_read_or_what_is_checked() {
        for name in [
            "client_encoding",
            "standard_conforming_strings",
            "backslash_quote",
            "array_nulls",
            "role",
            "session_authorization",
            "session_replication_role",
            "row_security",
            "track_counts",
            "local_preload_libraries",
            "jit_provider",
            "default_tablespace",
            "whimbrel.backfill",
            "app.tenant",
            "transaction snapshot",
            "session characteristics",
        ] {
            assert!(!is_settable(name), "{name}");
        }
        for name in [
            "search_path",
            "Lock_Timeout",
            "TRANSACTION",
            "enable_seqscan",
        ] {
            assert!(is_settable(name), "{name}");
        }
    }

    #[test]
    fn metadata_is_open_and_credentials_are_closed() {
        assert_eq!(system_relation("pg_catalog", "pg_class"), Reading::Open);
        assert_eq!(
            system_relation("information_schema", "columns"),
            Reading::Open
        );
        assert_eq!(system_relation("pg_catalog", "pg_stats"), Reading::Granted);
        assert_eq!(
            system_relation("pg_catalog", "pg_settings"),
            Reading::Granted
        );
        assert_eq!(system_relation("pg_catalog", "pg_authid"), Reading::Closed);
        assert_eq!(
            system_relation("information_schema", "user_mapping_options"),
            Reading::Closed
        );
    }
}
