//! Where revisions and edges go: a row for each revision, the newest at the top, and lanes from left to right.
//!
//! A lane leads down to one revision at a time, by one kind of edge. Further edges to the same revision join it in
//! the next row, so that a revision with hundreds of children takes two lanes and not hundreds.

use crate::graph::{Graph, Position};

/// What an edge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To a parent.
    Parent,
    /// To a dependency.
    Dependency,
}

/// Where a revision is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) lane: usize,
}

/// A line from a revision down along a lane to what it needs, or to where it joins another line there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) kind: Kind,
    pub(super) from: Place,
    pub(super) lane: usize,
    pub(super) to: Place,
}

/// A graph, laid out.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The revisions with their lanes; the index is the row.
    pub(super) rows: Vec<(Position, usize)>,
    pub(super) edges: Vec<Edge>,
    /// For each row, the lanes up to the last one that a line near it takes.
    pub(super) extents: Vec<usize>,
    /// How many lanes there are.
    pub(super) width: usize,
}

/// What a lane leads to, and the edges that are on their way there.
#[derive(Debug)]
struct Open {
    target: Position,
    kind: Kind,
    from: Vec<Place>,
}

impl Layout {
    /// Lays out all revisions of a graph.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut layout = Self::default();
        let mut lanes: Vec<Option<Open>> = Vec::new();
        for (row, position) in graph.positions().rev().enumerate() {
            let above = extent(&lanes);
            let place = Place {
                row,
                lane: own_lane(&mut lanes, position),
            };
            layout.rows.push((position, place.lane));
            for (lane, open) in lanes.iter_mut().enumerate() {
                if let Some(open) = open.take_if(|open| open.target == position) {
                    layout.close(lane, &open, place);
                }
            }
            for &parent in graph.parents(position) {
                layout.lead(&mut lanes, place, parent, Kind::Parent);
            }
            for dependency in graph.dependencies(position) {
                layout.lead(&mut lanes, place, dependency, Kind::Dependency);
            }
            layout
                .extents
                .push(above.max(place.lane + 1).max(extent(&lanes)));
        }
        layout.width = lanes.len();
        layout
    }

    /// Sends an edge on its way: along the lane that leads there, else along the revision's own, else along a free one
    /// to its right. Where the revision's own lane is left of the one that leads there, that one ends in it, so that
    /// the trunk stays at the left.
    fn lead(&mut self, lanes: &mut Vec<Option<Open>>, from: Place, target: Position, kind: Kind) {
        let leads_there = |open: &Open| open.target == target && open.kind == kind;
        let joined = lanes
            .iter()
            .position(|open| open.as_ref().is_some_and(leads_there));
        match joined {
            Some(lane) if lane > from.lane && lanes[from.lane].is_none() => {
                if let Some(open) = lanes[lane].take() {
                    let trunk = Place {
                        row: from.row + 1,
                        lane: from.lane,
                    };
                    self.close(lane, &open, trunk);
                }
            }
            Some(lane) => {
                if let Some(open) = &mut lanes[lane] {
                    open.from.push(from);
                }
                return;
            }
            None => {}
        }
        let lane = free_lane(lanes, from.lane);
        lanes[lane] = Some(Open {
            target,
            kind,
            from: vec![from],
        });
    }

    /// Draws the edges of a lane that has come to its revision.
    fn close(&mut self, lane: usize, open: &Open, to: Place) {
        for (index, &from) in open.from.iter().enumerate() {
            let joins = index > 0 && from.row + 1 < to.row;
            let row = from.row + 1;
            self.edges.push(Edge {
                kind: open.kind,
                from,
                lane,
                to: if joins { Place { row, lane } } else { to },
            });
        }
    }
}

/// The lane that a revision is drawn in: where a child of it leads, else where a dependent does, else a free one.
fn own_lane(lanes: &mut Vec<Option<Open>>, position: Position) -> usize {
    let by = |kind| {
        lanes.iter().position(|open| {
            open.as_ref()
                .is_some_and(|open| open.target == position && open.kind == kind)
        })
    };
    by(Kind::Parent)
        .or_else(|| by(Kind::Dependency))
        .unwrap_or_else(|| free_lane(lanes, 0))
}

/// How many lanes there are up to the last one in use.
fn extent(lanes: &[Option<Open>]) -> usize {
    lanes
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1)
}

fn free_lane(lanes: &mut Vec<Option<Open>>, least: usize) -> usize {
    let free = (least..lanes.len()).find(|&lane| lanes[lane].is_none());
    free.unwrap_or_else(|| {
        lanes.push(None);
        lanes.len() - 1
    })
}
