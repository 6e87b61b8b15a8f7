//! From a failure to what its reader needs: title, causes, hint, state. Pure.

use std::error::Error;

use whimbrel::backfill::BackfillError;
use whimbrel::capability::{Capability, NotGranted, Pattern, Request};
use whimbrel::config::ConfigError;
use whimbrel::driver::backup::BackupError;
use whimbrel::driver::{DatabaseError, DriverError};
use whimbrel::engine::{Aftermath, Cause, Inconsistency, RepairError, RunFailure};
use whimbrel::migration::{MigrationError, PrepareError};
use whimbrel::plan::PlanError;
use whimbrel::printable;
use whimbrel::project::BuildFailure;
use whimbrel::revision::RevisionId;
use whimbrel::scaffold::ScaffoldError;
use whimbrel::target::TargetError;

use super::failure::Failure;
use super::run::WAY_BACK;
use super::snippet::Snippet;

/// A failure, taken apart for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Diagnosis {
    /// What failed.
    pub(crate) title: String,
    /// The SQL that it is about.
    pub(crate) snippet: Option<Snippet>,
    /// Why, from the outermost to the innermost, or several problems side by side.
    pub(crate) causes: Vec<String>,
    /// More about it: the database's detail, a guest's trace.
    pub(crate) notes: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// What state the database is in now.
    pub(crate) state: Option<String>,
}

impl Diagnosis {
    /// Takes a failure apart. What others have had a part in saying (a guest, the database, which quotes values) is made
    /// printable here.
    pub(crate) fn of(failure: &Failure) -> Self {
        Self::taken_apart(failure).printable()
    }

    fn printable(self) -> Self {
        let all = |texts: Vec<String>| texts.iter().map(|text| printable::lines(text)).collect();
        Self {
            title: printable::lines(&self.title),
            snippet: self.snippet,
            causes: all(self.causes),
            notes: all(self.notes),
            hint: self.hint.as_deref().map(printable::lines),
            state: self.state.as_deref().map(printable::lines),
        }
    }

    fn taken_apart(failure: &Failure) -> Self {
        match failure {
            Failure::Sources(errors) => Self::list(
                "the migrations cannot be read",
                errors.0.iter().map(|error| with_cause(error)),
            ),
            Failure::Graph(errors) => Self::list(
                "the migrations do not fit together",
                errors.0.iter().map(ToString::to_string),
            ),
            Failure::Run(failure) => Self::of_run(failure),
            Failure::BackedUp { failure, way_back } => {
                let mut diagnosis = Self::of_run(failure);
                let way_back = format!("{WAY_BACK} {way_back}");
                diagnosis.state = Some(match diagnosis.state {
                    Some(state) => format!("{state}\n{way_back}"),
                    None => way_back,
                });
                diagnosis
            }
            Failure::Learning(failure) => Self {
                state: Some(
                    "That was on the scratch database; no other one was changed. Where it needs what no migration makes, run it \
                     on a copy of the database: --scratch URL"
                        .to_owned(),
                ),
                ..Self::of_run(failure)
            },
            Failure::Build(failure) => Self::chain(failure.as_ref()).hinted(build_hint(failure)),
            Failure::Config(error) => Self::chain(error).hinted(config_hint(error)),
            Failure::Target(error) => Self::chain(error).hinted(target_hint(error)),
            Failure::Driver(error) => Self::chain(error).hinted(driver_hint(error)),
            Failure::Scaffold(error) => Self::chain(error).hinted(scaffold_hint(error)),
            other => Self::chain(other),
        }
    }

    /// One problem becomes the title itself; several are listed under `title`.
    fn list(title: &str, problems: impl ExactSizeIterator<Item = String>) -> Self {
        let mut problems: Vec<String> = problems.collect();
        if problems.len() == 1 {
            return Self {
                title: problems.remove(0),
                ..Self::default()
            };
        }
        Self {
            title: title.to_owned(),
            causes: problems,
            ..Self::default()
        }
    }

    /// An error and its sources.
    fn chain(error: &dyn Error) -> Self {
        let mut diagnosis = Self {
            title: error.to_string(),
            ..Self::default()
        };
        diagnosis.add_causes(error.source());
        diagnosis
    }

    fn add_causes(&mut self, mut next: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = next {
            if let Some(error) = cause.downcast_ref::<MigrationError>() {
                return self.add_migration(error);
            }
            self.add_cause(cause.to_string());
            next = cause.source();
        }
    }

    /// Adds a cause, unless what is there says it already.
    fn add_cause(&mut self, cause: String) {
        let said = std::iter::once(&self.title).chain(&self.causes);
        if !cause.is_empty() && !said.into_iter().any(|text| text.contains(&cause)) {
            self.causes.push(cause);
        }
    }

    fn hinted(self, hint: Option<String>) -> Self {
        Self {
            hint: hint.or(self.hint),
            ..self
        }
    }

    fn of_run(failure: &RunFailure) -> Self {
        let mut diagnosis = match failure.cause.as_ref() {
            Cause::Migration { source, .. } => {
                let mut diagnosis = Self {
                    title: failure.cause.to_string(),
                    ..Self::default()
                };
                diagnosis.add_migration(source);
                diagnosis
            }
            Cause::Prepare(PrepareError::Load { source, .. }) => {
                let mut diagnosis = Self {
                    title: failure.cause.to_string(),
                    ..Self::default()
                };
                diagnosis.add_migration(source);
                diagnosis
            }
            Cause::Prepare(PrepareError::Build(error)) => {
                let hint = error.downcast_ref().and_then(build_hint);
                Self::chain(error.as_ref()).hinted(hint)
            }
            Cause::Inconsistent(found) => Self::list(
                "the database and the migrations disagree",
                found.iter().map(ToString::to_string),
            ),
            Cause::Backup { source, .. } | Cause::Restore { source, .. } => {
                let mut diagnosis = Self {
                    title: failure.cause.to_string(),
                    ..Self::default()
                };
                diagnosis.add_backup(source);
                diagnosis
            }
            cause => Self::chain(cause),
        };
        // What the database or the migration itself advises is closer to the matter.
        diagnosis.hint = diagnosis.hint.or_else(|| run_hint(failure));
        diagnosis.state = state(failure);
        diagnosis
    }

    fn add_migration(&mut self, error: &MigrationError) {
        match error {
            MigrationError::Statement { statement, source } => {
                let position = source.database().and_then(|error| error.position);
                self.snippet = statement
                    .as_deref()
                    .map(|statement| Snippet::new(statement, position));
                self.add_driver(source);
                let is_of_a_file = statement
                    .as_ref()
                    .is_some_and(|statement| statement.origin.is_some());
                if let (true, DriverError::NotGranted(refusal)) = (is_of_a_file, source) {
                    self.hint = Some(file_grant_hint(refusal));
                }
            }
            MigrationError::Failed(failure) => {
                self.add_cause(failure.message.clone());
                if let Some(cause) = &failure.cause {
                    self.add_database(cause);
                }
                self.notes.extend(failure.trace.clone());
                let hint = failure.hint.clone();
                self.hint = hint
                    .or_else(|| offline_hint(&failure.message))
                    .or(self.hint.take());
            }
            MigrationError::Trap {
                backtrace, source, ..
            } => {
                self.add_cause(error.to_string());
                if let Some(source) = source {
                    self.add_driver(source);
                }
                self.notes.extend(backtrace.iter().cloned());
            }
            MigrationError::Admission { reasons } => {
                self.causes.extend(reasons.iter().cloned());
            }
            MigrationError::Audit { differences } => {
                self.add_cause("its transaction did what is not granted".to_owned());
                self.notes.extend(differences.iter().cloned());
                self.hint = Some(
                    "where this is what it should do, have it ask for that in its [capabilities], and grant it".to_owned(),
                );
            }
            MigrationError::Limit { what, .. } => {
                self.add_cause(error.to_string());
                self.hint = Some(format!(
                    "where the work is worth it, allow a higher `{what}`: in [limits] of its migration.toml, and in the `cap` of \
                     a policy that allows less"
                ));
            }
            other => {
                self.add_cause(other.to_string());
                self.add_causes(other.source());
            }
        }
    }

    fn add_backup(&mut self, error: &BackupError) {
        match error {
            BackupError::Database(error) => self.add_driver(error),
            error => {
                self.add_cause(error.to_string());
                self.add_causes(error.source());
                self.hint = backup_hint(error);
            }
        }
    }

    fn add_driver(&mut self, error: &DriverError) {
        match error.database() {
            Some(error) => self.add_database(error),
            None => {
                self.add_cause(error.to_string());
                self.add_causes(error.source());
            }
        }
        self.hint = driver_hint(error).or(self.hint.take());
    }

    fn add_database(&mut self, error: &DatabaseError) {
        let code = error
            .sqlstate
            .as_ref()
            .map_or_else(String::new, |code| match code.len() {
                5 => format!(" (SQLSTATE {code})"),
                _ => format!(" ({code})"),
            });
        self.add_cause(format!("{}{code}", error.message));
        self.notes.extend(error.detail.clone());
        self.hint = error.hint.clone().or(self.hint.take());
    }
}

/// An error with its sources, in one line.
fn with_cause(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn state(failure: &RunFailure) -> Option<String> {
    let is_early = failure.planned == 0 && failure.aftermath == Aftermath::Untouched;
    // A question that cannot be answered changes nothing, and nobody expects it to.
    let is_question = matches!(
        failure.cause.as_ref(),
        Cause::Plan(_) | Cause::Database(_) | Cause::Irreversible { .. }
    );
    (!(is_early && is_question)).then(|| failure.state())
}

fn config_hint(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::NotFound { .. } => Some(
            "run `whimbrel init` to make a project here, or say where it is with -C or --config"
                .to_owned(),
        ),
        ConfigError::NoDatabase { known, .. } if !known.is_empty() => {
            Some(format!("it has {}, for --database", known.join(", ")))
        }
        ConfigError::UnknownDatabase {
            name,
            known,
            suggestion,
            ..
        } => Some(match (suggestion, known.as_slice()) {
            (Some(guess), _) => format!("did you mean `{guess}`?"),
            (None, []) => {
                format!("it names no databases; for a file of that name write `sqlite:{name}`")
            }
            (None, known) => format!("it has {}", known.join(", ")),
        }),
        _ => None,
    }
}

fn target_hint(error: &TargetError) -> Option<String> {
    match error {
        TargetError::MultipleHeads { .. } => Some(
            "name one of them, or `heads` for all; to join them: `whimbrel merge heads`".to_owned(),
        ),
        TargetError::Unknown { similar, .. } => Some(match similar.as_slice() {
            [] => "`whimbrel history` lists the revisions".to_owned(),
            similar => format!("did you mean {}?", similar.join(" or ")),
        }),
        TargetError::AmbiguousPrefix { .. } => Some("write more of the id".to_owned()),
        TargetError::AmbiguousStep { .. } => Some("name the revision itself".to_owned()),
        TargetError::AmbiguousStart { target, starts } => starts.first().map(|start| {
            let steps = target.offset.unwrap_or_default();
            format!("name the branch, by its label or by any revision on it: `{start}@{steps:+}`")
        }),
        TargetError::Overlap { .. } => Some("name the later one".to_owned()),
        TargetError::WrongWay { target, .. } => Some(match target.to_string().starts_with('-') {
            true => format!("run `whimbrel downgrade {target}`"),
            false => format!("run `whimbrel upgrade {target}`"),
        }),
        _ => None,
    }
}

fn scaffold_hint(error: &ScaffoldError) -> Option<String> {
    match error {
        ScaffoldError::Exists { .. } => {
            Some("nothing is overwritten; move it away first".to_owned())
        }
        _ => None,
    }
}

fn build_hint(failure: &BuildFailure) -> Option<String> {
    match failure {
        BuildFailure::Build { source, .. } => source.hint().map(str::to_owned),
        _ => None,
    }
}

/// The capability that covers what was not granted.
fn wanted(refusal: &NotGranted) -> Capability {
    Capability {
        action: refusal.access.action,
        object: Pattern::exactly(&refusal.access.object),
        columns: refusal.access.columns.clone(),
    }
}

/// How a SQL file comes by what was not granted.
fn file_grant_hint(refusal: &NotGranted) -> String {
    match &refusal.denied_by {
        Some(_) => grant_hint(refusal),
        None => format!(
            "where it should do that, have a rule of the policy grant `{}`; a file with `-- capabilities: …` in its header has \
             to ask for it there as well",
            wanted(refusal)
        ),
    }
}

/// How to ask for what was not granted.
fn grant_hint(refusal: &NotGranted) -> String {
    if let Some(rule) = &refusal.denied_by {
        return format!("a rule of the policy denies `{rule}`, whatever is asked for");
    }
    let wanted = wanted(refusal);
    let (key, entry) = Request::entry(&wanted);
    let entry = entry.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "where it should do that, add `{key} = [\"{entry}\"]` to [capabilities] in its migration.toml (in a SQL file \
         `-- capabilities: {wanted}`), and approve it where approvals are asked for"
    )
}

fn driver_hint(error: &DriverError) -> Option<String> {
    if let DriverError::NotGranted(refusal) = error {
        return Some(grant_hint(refusal));
    }
    match error {
        DriverError::Connect { source, .. }
            if source.to_string().contains("unsupported startup parameter") =>
        {
            Some(
                "a connection pooler refuses this setting of the address: leave it out (lock_timeout can be set in \
                 whimbrel.toml), allow it with ignore_startup_parameters in pgbouncer.ini, or connect directly"
                    .to_owned(),
            )
        }
        DriverError::Connect { .. } => Some(
            "check the address, and that the server runs; `whimbrel doctor` shows what is used"
                .to_owned(),
        ),
        DriverError::Offline | DriverError::Unrecorded(_) => offline_hint(&error.to_string()),
        _ => None,
    }
}

/// What to do about a component that reads while a script is written. Guests wrap the error in words of their own.
fn offline_hint(message: &str) -> Option<String> {
    let hint = match message {
        message if message.contains(&DriverError::Offline.to_string()) => {
            "it reads: `--dry-run --record FILE` on a database that is where the script starts keeps what it reads, and \
             `--sql --record FILE` writes a script that asserts that"
        }
        message if message.contains("the record has no answer") => {
            "make the record again, by a dry run with the same code, target and parameters"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn backup_hint(error: &BackupError) -> Option<String> {
    match error {
        BackupError::NoProgram { major, .. } => Some(format!(
            "install the client programs of PostgreSQL {major}: on Debian and Ubuntu \
             `apt-get install postgresql-client-{major}`, where needed from apt.postgresql.org"
        )),
        BackupError::Exists { .. } => Some("name a file that does not exist yet".to_owned()),
        _ => None,
    }
}

fn run_hint(failure: &RunFailure) -> Option<String> {
    if let Aftermath::Partial(revision) = &failure.aftermath {
        return Some(unfinished_hint(revision));
    }
    let text = match failure.cause.as_ref() {
        Cause::Plan(PlanError::Target(error)) => return target_hint(error),
        Cause::Plan(PlanError::UnknownApplied { unknown }) => {
            return unknown.first().map(|revision| {
                format!(
                    "another version of the project was applied here: get its migrations; where nothing of it is in \
                     effect any more, run `whimbrel repair {revision} --forget`"
                )
            });
        }
        Cause::Plan(PlanError::NothingToRevert { .. }) => {
            "`whimbrel current` shows what is applied"
        }
        Cause::Inconsistent(found) => return found.first().map(inconsistency_hint),
        Cause::Repair(error) => repair_hint(error),
        Cause::Irreversible { .. } => {
            "add a `-- whimbrel:downgrade` section, or go back from a backup"
        }
        Cause::Mixed(_) => {
            "name a revision before it to go in parts, each of which is all or nothing, or give up on that with \
             --transaction migration"
        }
        Cause::Lasting(_) => {
            "name the revision before it to try what comes first; what comes behind it can be tried when it is applied"
        }
        Cause::Locked { .. } => {
            "wait until it has finished and run this again, or wait longer with --lock-wait"
        }
        Cause::LockLost | Cause::VersionConflict { .. } => {
            "see `whimbrel current`, make sure that no other run is going on, and run this again"
        }
        Cause::Prepare(PrepareError::Refused { remedy, .. }) => return Some(remedy.clone()),
        Cause::Restore { source, .. } => match source.as_ref() {
            BackupError::Database(error) if error.is_transient() => {
                "something else uses the database; stop it and run this again"
            }
            _ => return None,
        },
        Cause::ForeignBackup { .. } => {
            "if it is the right file all the same, bring it back with the database's own tools (`pg_restore`, or a copy of the \
             file)"
        }
        Cause::Cancelled => "run the same command again to go on",
        Cause::NoBackfill(_) => "`whimbrel backfill status` shows what there is",
        Cause::Backfill { source, .. } => match source.as_ref() {
            BackfillError::BadRow { .. } => {
                "mend the row, or the backfill, and run this again; or set such rows aside with `whimbrel backfill set \
                 bad-rows=set-aside` and upgrade"
            }
            BackfillError::TooManyBadRows { .. } => {
                "`whimbrel backfill rows` shows them; `whimbrel backfill set max-bad-rows=N` allows more"
            }
            BackfillError::Unfit(_) => "correct the backfill and run the same command again",
            _ => return None,
        },
        Cause::Migration { source, .. } if source.is_transient() => {
            "another session was in the way each time (pg_locks and pg_stat_activity show which, on PostgreSQL): run the \
             same command again when it is done, or raise lock_timeout in whimbrel.toml"
        }
        Cause::Migration { source, .. }
            if matches!(
                **source,
                MigrationError::Statement { .. } | MigrationError::Script { .. }
            ) =>
        {
            "correct it and run the same command again"
        }
        Cause::Database(error) => return driver_hint(error),
        _ => return None,
    };
    Some(text.to_owned())
}

/// After a migration without a transaction that did not come to its end.
fn unfinished_hint(revision: &RevisionId) -> String {
    format!(
        "see what it left behind (for example an invalid index), finish it or undo it by hand, then run `whimbrel repair \
         {revision} --applied` or `whimbrel repair {revision} --not-applied`"
    )
}

fn inconsistency_hint(inconsistency: &Inconsistency) -> String {
    match inconsistency {
        Inconsistency::Changed { revision, .. } => format!(
            "an applied migration is history: restore it as it was, and put the change into a new revision \
             (`whimbrel revision`); if the database has the change already, accept it with `whimbrel repair {revision} \
             --accept`"
        ),
        Inconsistency::Unfinished { revision, .. } => unfinished_hint(revision),
    }
}

fn repair_hint(error: &RepairError) -> &'static str {
    match error {
        RepairError::NothingToRepair { .. } => "`whimbrel repair` lists what is wrong",
        RepairError::Needs { .. } | RepairError::Needed { .. } => {
            "where the version table is wrong, say what is applied with `whimbrel stamp REVISION`"
        }
        RepairError::NotProved { .. } => {
            "get its migration; or, if you know what is applied, say so with `whimbrel stamp --purge REVISION`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_the_database_quotes_do_not_reach_the_terminal_as_they_are() {
        const TEXT: &str = "invalid input: \"\u{1b}]0;x\u{7}\u{85}\u{2067}\"";
        let failure = Failure::Driver(DriverError::Database(Box::new(DatabaseError {
            message: TEXT.to_owned(),
            detail: Some(TEXT.to_owned()),
            hint: Some(TEXT.to_owned()),
            ..DatabaseError::default()
        })));
        let diagnosis = Diagnosis::of(&failure);
        assert_eq!(diagnosis.title, "invalid input: \"]0;x\"");
        let shown = format!("{diagnosis:?}");
        assert!(!shown.contains("\\u{"), "{shown}");
    }
}
