//! Graphs for tests, written as one line a revision.

use super::{Graph, GraphErrors};
use crate::revision::{Kind, Revision, RevisionId, Transactional};

/// Reads `id: parent parent / dependency [label]` lines, one revision each.
pub(crate) fn revisions(text: &str) -> Vec<Revision> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(revision)
        .collect()
}

/// The graph of [`revisions`].
pub(crate) fn try_graph(text: &str) -> Result<Graph, GraphErrors> {
    Graph::new(revisions(text))
}

/// The graph of [`revisions`], which must be sound.
pub(crate) fn graph(text: &str) -> Graph {
    try_graph(text).unwrap()
}

fn revision(line: &str) -> Revision {
    let (id, rest) = line.split_once(':').unwrap_or((line, ""));
    let (rest, label) = match rest.split_once('[') {
        Some((rest, label)) => (rest, Some(label.trim_end_matches(']').to_owned())),
        None => (rest, None),
    };
    let (parents, dependencies) = rest.split_once('/').unwrap_or((rest, ""));
    Revision {
        id: RevisionId::new(id).unwrap(),
        revises: ids(parents),
        depends_on: ids(dependencies),
        labels: label.into_iter().collect(),
        message: String::new(),
        created: None,
        path: format!("migrations/{id}.sql").into(),
        kind: Kind::Sql,
        transactional: Transactional::Yes,
    }
}

fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace()
        .map(|id| RevisionId::new(id).unwrap())
        .collect()
}
