//! Random graphs, and random commands on them.

use std::fmt;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::Index;

/// A revision before it has a name: shrinking takes some away, and the others must still make sense.
#[derive(Debug, Clone)]
struct Seedling {
    salt: u8,
    is_short: bool,
    parents: Vec<Index>,
    dependencies: Vec<Index>,
    /// Whether dependencies that are ancestors anyway are kept.
    keeps_redundant: bool,
    is_labelled: bool,
}

/// A revision.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) revises: Vec<String>,
    pub(super) depends_on: Vec<String>,
    pub(super) labels: Vec<String>,
}

/// A command line.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) verb: Verb,
    pub(super) targets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Upgrade,
    Downgrade,
    Stamp,
}

/// A graph and what is done with it.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) graph: Vec<Node>,
    pub(super) commands: Vec<Command>,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Stamp => "stamp",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.targets.join(" "))
    }
}

/// As one would write it down: the graph, a line a revision, and the commands.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for node in &self.graph {
            write!(f, "    {}: {}", node.id, node.revises.join(" "))?;
            if !node.depends_on.is_empty() {
                write!(f, " / {}", node.depends_on.join(" "))?;
            }
            if !node.labels.is_empty() {
                write!(f, " [{}]", node.labels.join(" "))?;
            }
            writeln!(f)?;
        }
        for command in &self.commands {
            writeln!(f, "    $ {command}")?;
        }
        Ok(())
    }
}

/// What a command names, before there are names.
#[derive(Debug, Clone)]
struct Aim {
    branch: Option<(Index, Form)>,
    anchor: Anchor,
    offset: Option<i64>,
}

#[derive(Debug, Clone)]
enum Anchor {
    Here,
    Head,
    Heads,
    Base,
    Named(Index, Form),
}

/// How a revision is named.
#[derive(Debug, Clone, Copy)]
enum Form {
    Id,
    /// All but so many of its last characters.
    Prefix(usize),
    /// Its label, if it has one.
    Label,
    /// A name that nothing has.
    Unknown,
}

/// Cases of up to so many commands.
pub(super) fn cases(commands: usize) -> impl Strategy<Value = Case> {
    (vec(seedling(), 1..14), vec(command(), 1..=commands)).prop_map(|(seedlings, commands)| {
        let graph = grow(&seedlings);
        let commands = commands
            .into_iter()
            .map(|(verb, aims)| Command {
                verb,
                targets: aims.iter().map(|aim| aim.text(&graph)).collect(),
            })
            .collect();
        Case { graph, commands }
    })
}

fn seedling() -> impl Strategy<Value = Seedling> {
    let parents = prop_oneof![
        2 => vec(any::<Index>(), 0..=0),
        9 => vec(any::<Index>(), 1..=1),
        3 => vec(any::<Index>(), 2..=3),
    ];
    (
        0..6u8,
        prop::bool::weighted(0.1),
        parents,
        prop_oneof![4 => vec(any::<Index>(), 0..=0), 1 => vec(any::<Index>(), 1..=2)],
        prop::bool::weighted(0.03),
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(salt, is_short, parents, dependencies, keeps_redundant, is_labelled)| Seedling {
                salt,
                is_short,
                parents,
                dependencies,
                keeps_redundant,
                is_labelled,
            },
        )
}

fn grow(seedlings: &[Seedling]) -> Vec<Node> {
    let mut graph: Vec<Node> = Vec::new();
    let mut ancestors: Vec<u64> = Vec::new();
    for (number, seedling) in seedlings.iter().enumerate() {
        // Mostly among the last few, so that there are long lines; at times among all.
        let pick = |index: &Index| match index.index(4) {
            0 => index.index(number),
            _ => number - 1 - index.index(number.min(3)),
        };
        let picked = |indices: &[Index]| -> Vec<usize> {
            let mut found: Vec<usize> = match number {
                0 => Vec::new(),
                _ => indices.iter().map(pick).collect(),
            };
            found.sort_unstable();
            found.dedup();
            found
        };
        let is_above = |at: usize, others: &[usize]| {
            others
                .iter()
                .any(|&other| other != at && ancestors[other] & (1 << at) != 0)
        };
        let all = picked(&seedling.parents);
        let parents: Vec<usize> = all
            .iter()
            .copied()
            .filter(|&at| !is_above(at, &all))
            .collect();
        let mut dependencies = picked(&seedling.dependencies);
        dependencies.retain(|at| !parents.contains(at));
        if !seedling.keeps_redundant {
            let all: Vec<usize> = parents.iter().chain(&dependencies).copied().collect();
            dependencies.retain(|&at| !is_above(at, &all));
        }
        ancestors.push(
            parents
                .iter()
                .chain(&dependencies)
                .fold(1 << number, |above, &at| above | ancestors[at]),
        );
        let salt = char::from(b'a' + seedling.salt);
        let depends_on = |&at: &usize| match graph[at].labels.first() {
            Some(label) if seedling.salt % 2 == 0 => label.clone(),
            _ => graph[at].id.clone(),
        };
        graph.push(Node {
            id: match seedling.is_short {
                true => format!("{salt}{number:x}"),
                false => format!("{salt}{salt}{number:02x}{salt}"),
            },
            revises: parents.iter().map(|&at| graph[at].id.clone()).collect(),
            depends_on: dependencies.iter().map(depends_on).collect(),
            labels: seedling
                .is_labelled
                .then(|| format!("label{number}"))
                .into_iter()
                .collect(),
        });
    }
    graph
}

fn command() -> impl Strategy<Value = (Verb, Vec<Aim>)> {
    prop_oneof![
        10 => aim(true).prop_map(|aim| (Verb::Upgrade, vec![aim])),
        9 => aim(false).prop_map(|aim| (Verb::Downgrade, vec![aim])),
        2 => place().prop_map(|aim| (Verb::Stamp, vec![aim])),
        1 => vec(place(), 2..=3).prop_map(|aims| (Verb::Stamp, aims)),
    ]
}

/// A target of an upgrade, or of a downgrade.
fn aim(forward: bool) -> impl Strategy<Value = Aim> {
    let offset = prop_oneof![12 => 1..=3i64, 1 => 0..=9i64];
    let offset = (offset, prop::bool::weighted(0.85)).prop_map(move |(steps, usual)| {
        match usual == forward {
            true => steps,
            false => -steps,
        }
    });
    let branch = weighted(0.35, (any::<Index>(), form()));
    let walk = (branch, walk_anchor(), offset).prop_map(|(branch, anchor, offset)| {
        // Back from before the first revision, Alembic comes out at the head.
        let offset = match anchor {
            Anchor::Base => offset.abs(),
            _ => offset,
        };
        Aim {
            branch,
            anchor,
            offset: Some(offset),
        }
    });
    prop_oneof![1 => walk, 1 => place()]
}

/// A target without steps.
fn place() -> impl Strategy<Value = Aim> {
    let anchor = prop_oneof![
        2 => Just(Anchor::Head),
        3 => Just(Anchor::Heads),
        2 => Just(Anchor::Base),
        8 => (any::<Index>(), form()).prop_map(|(index, form)| Anchor::Named(index, form)),
    ];
    (weighted(0.35, (any::<Index>(), form())), anchor).prop_map(|(branch, anchor)| Aim {
        branch,
        anchor,
        offset: None,
    })
}

fn walk_anchor() -> impl Strategy<Value = Anchor> {
    prop_oneof![
        6 => Just(Anchor::Here),
        1 => Just(Anchor::Head),
        1 => Just(Anchor::Heads),
        1 => Just(Anchor::Base),
        4 => (any::<Index>(), form()).prop_map(|(index, form)| Anchor::Named(index, form)),
    ]
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        8 => Just(Form::Id),
        2 => (1..4usize).prop_map(Form::Prefix),
        6 => Just(Form::Label),
        1 => Just(Form::Unknown),
    ]
}

impl Aim {
    fn text(&self, graph: &[Node]) -> String {
        let mut text = String::new();
        if let Some((index, form)) = self.branch {
            text.push_str(&form.name(&graph[index.index(graph.len())]));
            text.push('@');
        }
        match self.anchor {
            Anchor::Here => {}
            Anchor::Head => text.push_str("head"),
            Anchor::Heads => text.push_str("heads"),
            Anchor::Base => text.push_str("base"),
            Anchor::Named(index, form) => {
                text.push_str(&form.name(&graph[index.index(graph.len())]));
            }
        }
        if let Some(steps) = self.offset {
            text.push_str(&format!("{steps:+}"));
        }
        text
    }
}

impl Form {
    fn name(self, node: &Node) -> String {
        match self {
            Self::Id => node.id.clone(),
            Self::Prefix(without) => {
                let length = node.id.len().saturating_sub(without).max(1);
                node.id[..length].to_owned()
            }
            Self::Label => node.labels.first().unwrap_or(&node.id).clone(),
            Self::Unknown => "zzzz".to_owned(),
        }
    }
}
