//! What a project looked like when there was nothing to do.
//!
//! Most runs find nothing to do, and reading thousands of files to find that out takes longer than asking the database.
//! So a run that found nothing to do leaves a record in the user's cache: the [`Imprint`] of the migrations folder, the
//! heads of its graph, and the tally of a database that has all of it. While the folder has that imprint, its files are
//! those that were read then, and a glance at the database tells the rest.
//!
//! A record is only ever a shortcut: where there is none, or it is unreadable, or anything differs from it, the files
//! are read.

mod imprint;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;

use super::Project;
use crate::cache::CacheFolder;
use crate::config::{Config, Root};
use crate::digest::Digest;
use crate::history::{Glance, Tally};
use crate::revision::{Direction, RevisionId};
use crate::source::Body;
use crate::target::Target;
use imprint::Imprint;

/// The form of a record.
const FORMAT: &str = "2";

/// A file that has changed since less than this before it was read might change again and bear the same time.
const SETTLING: Duration = Duration::from_secs(2);

/// A folder of migrations, and where its record is kept.
pub(super) struct Place {
    root: Arc<Root>,
    folder: Utf8PathBuf,
    records: CacheFolder,
    name: String,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    imprint: Digest,
    /// The tally of a database that has everything, as text.
    tally: String,
    /// The rows of its version table, in order of application.
    heads: Vec<RevisionId>,
}

/// A folder without a record that holds, about to be read.
pub(super) struct Unsettled {
    place: Place,
    since: SystemTime,
}

impl Place {
    /// The migrations of a project; its record is in the cache in `cache`, or else in the user's. `None` where there
    /// can be no record.
    pub(super) fn new(config: &Config, cache: Option<PathBuf>) -> Option<Self> {
        let folder = config.migrations.only()?;
        let path = camino::absolute_utf8(config.root.path().join(folder)).ok()?;
        let key = [FORMAT, env!("CARGO_PKG_VERSION"), path.as_str()];
        Some(Self {
            root: Arc::clone(&config.root),
            folder: folder.to_owned(),
            records: CacheFolder::open(cache, "settled").ok()?,
            name: Digest::of_parts(key.map(str::as_bytes)).to_string(),
        })
    }

    /// The record, if the folder looks as it did then.
    pub(super) fn recall(&self) -> Option<Settled> {
        let text = fs::read_to_string(self.records.file(&self.name)).ok()?;
        let settled = Settled::parse(&text)?;
        let imprint = Imprint::take(&self.root, &self.folder)?;
        (imprint.digest == settled.imprint).then_some(settled)
    }
}

impl Settled {
    /// Whether a run has a target of which a record can tell.
    pub(super) fn can_tell(target: &Target, direction: Direction) -> bool {
        direction == Direction::Upgrade && (*target == Target::HEAD || *target == Target::HEADS)
    }

    /// The heads, where an upgrade to `target` has nothing to do.
    pub(super) fn reached(self, target: &Target, glance: &Glance) -> Option<Vec<RevisionId>> {
        let is_meant =
            *target == Target::HEADS || (*target == Target::HEAD && self.heads.len() == 1);
        let mut rows: Vec<&str> = glance.rows.iter().map(String::as_str).collect();
        let mut heads: Vec<&str> = self.heads.iter().map(RevisionId::as_str).collect();
        rows.sort_unstable();
        heads.sort_unstable();
        (is_meant && rows == heads && glance.tally == self.tally).then_some(self.heads)
    }

    /// The text has a digest of itself: a crash can leave a part of it.
    fn parse(text: &str) -> Option<Self> {
        let (digest, text) = text.split_once('\n')?;
        if digest.parse() != Ok(Digest::of(text.as_bytes())) {
            return None;
        }
        let mut lines = text.lines();
        Some(Self {
            imprint: lines.next()?.parse().ok()?,
            tally: lines.next()?.to_owned(),
            heads: lines.map(RevisionId::new).collect::<Result<_, _>>().ok()?,
        })
    }

    fn write(&self) -> String {
        let heads = self.heads.iter().map(RevisionId::as_str);
        let mut text = format!("{}\n{}\n", self.imprint, self.tally);
        text.extend(heads.flat_map(|head| [head, "\n"]));
        format!("{}\n{text}", Digest::of(text.as_bytes()))
    }
}

impl Unsettled {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            since: SystemTime::now(),
        }
    }

    /// Keeps a record of the project that was read since, if it can be told that its files are still the same.
    pub(super) fn remember(&self, project: &Project) -> io::Result<()> {
        self.remember_after(SETTLING, project)
    }

    fn remember_after(&self, settling: Duration, project: &Project) -> io::Result<()> {
        let Place {
            root,
            folder,
            records,
            name,
        } = &self.place;
        records.store(name, |file| {
            let imprint = Imprint::take(root, folder)
                .filter(|imprint| imprint.newest < self.since - settling)
                .ok_or(io::ErrorKind::Unsupported)?;
            let settled = settled(imprint.digest, project)?;
            file.write_all(settled.write().as_bytes())
        })
    }
}

fn settled(imprint: Digest, project: &Project) -> io::Result<Settled> {
    let mut tally = Tally::default();
    for source in project.migrations().iter() {
        if let Body::Component(component) = &source.body
            && !Imprint::covers(component.folder(), &component.path())
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let digest = source.digest().map_err(io::Error::other)?;
        tally.join(source.revision.id.as_str(), &digest.to_string());
    }
    let graph = project.graph();
    let heads = graph.effective_heads();
    if heads != graph.heads() {
        // What `head` means then cannot be told from the rows.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let heads = heads.into_iter();
    Ok(Settled {
        imprint,
        tally: tally.to_string(),
        heads: heads.map(|head| graph.revision(head).id.clone()).collect(),
    })
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
