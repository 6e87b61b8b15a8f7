//! Which branch labels hold at which revision.

use super::{Graph, Position};

impl Graph {
    /// For each revision, in order of application, the branch labels that hold there: its own first, then, in order,
    /// those of the revisions that it descends from, and those that start after it before the branch has parted from
    /// others, as in Alembic.
    pub fn branch_labels(&self) -> Vec<Vec<&str>> {
        let mut labels: Vec<Vec<&str>> = self
            .revisions()
            .map(|revision| revision.labels.iter().map(String::as_str).collect())
            .collect();
        let mut starts: Vec<(&str, Position)> = self
            .by_label
            .iter()
            .map(|(label, &start)| (label.as_str(), start))
            .collect();
        starts.sort_unstable();
        for (label, start) in starts {
            for at in self
                .branch_descendants([start])
                .iter()
                .chain(self.trunk(start))
            {
                if !labels[at.index()].contains(&label) {
                    labels[at.index()].push(label);
                }
            }
        }
        labels
    }

    /// The revisions before this one, back to where a branch has parted or several have met.
    fn trunk(&self, start: Position) -> impl Iterator<Item = Position> + '_ {
        let is_plain = |at: &Position| !self.is_branch_point(*at) && !self.is_merge_point(*at);
        let parent = move |at: &Position| self.parents(*at).first().copied();
        std::iter::successors(Some(start).filter(is_plain), move |at| {
            parent(at).filter(is_plain)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::fixture::graph;

    fn labels(lines: &str) -> String {
        let graph = graph(lines);
        let labels = graph.branch_labels();
        let each = graph.revisions().zip(labels);
        each.map(|(revision, labels)| format!("{}={}", revision.id, labels.join("+")))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_label_holds_on_its_branch_and_back_to_where_that_parts() {
        assert_eq!(
            labels("a:\nb: a [left]\nc: b\nx: a [right]\ny: x"),
            "a= b=left c=left x=right y=right"
        );
        assert_eq!(labels("a:\nb: a\nc: b [late]"), "a=late b=late c=late");
        assert_eq!(
            labels("a:\nb: a [left]\nx: a [right]\nm: b x"),
            "a= b=left x=right m=left+right"
        );
    }

    #[test]
    fn a_dependency_hands_no_label_on() {
        assert_eq!(labels("a: [one]\nx: / a [two]"), "a=one x=two");
    }
}
