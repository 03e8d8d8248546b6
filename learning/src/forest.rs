//! Isolation forest: how few random cuts set a row apart from what was trained on.
//!
//! # Formula
//! Each tree is grown on `n` rows drawn without replacement, to a depth of `ceil(log2 n)`: a random feature
//! that is not constant among the rows of the node, cut at a random place between their smallest and largest.
//! ```text
//! score = 2^(-E(h) / c(n))       h = depth of the leaf + c(rows of the leaf), mean over the trees
//! c(m)  = 2 (ln(m - 1) + gamma) - 2 (m - 1) / m  for m > 2,   c(2) = 1,   c(m) = 0 below
//! ```
//! About 0.5 is ordinary, near 1 is unlike anything trained on. Source: Liu, Ting, Zhou, Isolation Forest, ICDM
//! 2008, doi:10.1109/ICDM.2008.17.
//!
//! # Storage
//! A tree is two lists in preorder (a node, its left side, its right side): the feature that is cut, or -1 for
//! a leaf; the place of the cut (below it goes left), or the number of rows of the leaf. Such lists cannot
//! point anywhere: no cycle and no node without a place can be written.

use serde::{Deserialize, Serialize};

use crate::number::{mean, real, rounded};
use crate::random::Random;

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;
/// Digits that are kept of a cut.
const DIGITS: usize = 6;
/// What marks a leaf.
const LEAF: i32 = -1;
/// Deepest tree: more rows than 2^20 are not drawn for one.
pub(crate) const DEEPEST: usize = 20;

/// Mean path length of an unsuccessful search in a binary search tree of so many rows: it stands for the
/// part of a tree that was not grown.
///
/// # Example
/// ```
/// use beaconwatch_learning::average_path_length;
///
/// assert_eq!(average_path_length(1.0), 0.0);
/// assert_eq!(average_path_length(2.0), 1.0);
/// assert!((average_path_length(256.0) - 10.2448).abs() < 1e-4);
/// ```
#[must_use]
pub fn average_path_length(rows: f64) -> f64 {
    if rows > 2.0 {
        2.0 * ((rows - 1.0).ln() + GAMMA) - 2.0 * (rows - 1.0) / rows
    } else if rows > 1.0 {
        1.0
    } else {
        0.0
    }
}

/// A tree as a file keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredTree {
    pub(crate) feature: Vec<i32>,
    pub(crate) value: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Leaf {
        path: f64,
    },
    Cut {
        feature: usize,
        at: f64,
        right: usize,
    },
}

/// Trees that were grown on a sample each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forest {
    sample_size: usize,
    stored: Vec<StoredTree>,
    trees: Vec<Vec<Node>>,
}

impl Forest {
    /// Grows `trees` trees on samples of at most `sample_size` of `rows`.
    pub(crate) fn grow(
        rows: &[&[f64]],
        trees: usize,
        sample_size: usize,
        random: &mut Random,
    ) -> Option<Self> {
        let sample_size = sample_size.min(rows.len());
        let depth = depth_of(sample_size);
        let stored = (0..trees)
            .map(|_| {
                let drawn: Vec<&[f64]> = random
                    .sample(rows.len(), sample_size)
                    .into_iter()
                    .filter_map(|at| rows.get(at).copied())
                    .collect();
                let mut tree = StoredTree::default();
                grow(&mut tree, &drawn, depth, random);
                tree
            })
            .collect();
        let columns = rows.first()?.len();
        Self::restore(stored, sample_size, columns).ok()
    }

    /// Takes trees from a file; else the number of the wrong tree and what is wrong.
    pub(crate) fn restore(
        stored: Vec<StoredTree>,
        sample_size: usize,
        columns: usize,
    ) -> Result<Self, (usize, &'static str)> {
        let trees: Result<_, _> = stored
            .iter()
            .enumerate()
            .map(|(number, tree)| nodes(tree, columns).map_err(|problem| (number, problem)))
            .collect();
        Ok(Self {
            sample_size,
            trees: trees?,
            stored,
        })
    }

    pub(crate) fn sample_size(&self) -> usize {
        self.sample_size
    }

    pub(crate) fn stored(&self) -> &[StoredTree] {
        &self.stored
    }

    /// Score of a row in 0..1.
    pub(crate) fn score(&self, row: &[f64]) -> f64 {
        let expected = average_path_length(real(self.sample_size)).max(f64::MIN_POSITIVE);
        let path = mean(self.trees.iter().map(|tree| path(tree, row)));
        (-path / expected).exp2()
    }
}

/// `ceil(log2 n)`.
pub(crate) fn depth_of(sample_size: usize) -> usize {
    let bits = usize::BITS - sample_size.saturating_sub(1).leading_zeros();
    usize::try_from(bits).unwrap_or(DEEPEST).min(DEEPEST)
}

fn grow(tree: &mut StoredTree, rows: &[&[f64]], depth: usize, random: &mut Random) {
    let Some((feature, at)) = (depth > 0).then(|| cut(rows, random)).flatten() else {
        tree.feature.push(LEAF);
        tree.value.push(real(rows.len()));
        return;
    };
    tree.feature.push(i32::try_from(feature).unwrap_or(LEAF));
    tree.value.push(at);
    let (left, right): (Vec<&[f64]>, Vec<&[f64]>) =
        rows.iter().partition(|row| goes_left(row, feature, at));
    grow(tree, &left, depth - 1, random);
    grow(tree, &right, depth - 1, random);
}

/// A random feature that is not constant, and a place between its ends; `None` when the rows are equal.
fn cut(rows: &[&[f64]], random: &mut Random) -> Option<(usize, f64)> {
    let columns = rows.first()?.len();
    let varying: Vec<(usize, f64, f64)> = (0..columns)
        .filter_map(|column| {
            let values = rows.iter().filter_map(|row| row.get(column)).copied();
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| {
                (low.min(it), high.max(it))
            });
            (low < high).then_some((column, low, high))
        })
        .collect();
    let (feature, low, high) = *varying.get(random.below(varying.len()))?;
    Some((feature, rounded(low + random.unit() * (high - low), DIGITS)))
}

fn goes_left(row: &[f64], feature: usize, at: f64) -> bool {
    row.get(feature).is_some_and(|value| *value < at)
}

/// Finds where each right side begins, and checks the whole.
fn nodes(tree: &StoredTree, columns: usize) -> Result<Vec<Node>, &'static str> {
    if tree.feature.len() != tree.value.len() {
        return Err("expected as many values as features");
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(tree.feature.len());
    // Cuts whose right side is still to come: their places.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut done = false;
    for (feature, value) in tree.feature.iter().zip(&tree.value) {
        if done {
            return Err("expected the end of the tree, found more nodes");
        }
        if !value.is_finite() {
            return Err("expected finite values");
        }
        if *feature == LEAF {
            nodes.push(leaf(open.len(), *value)?);
            done = close(&mut nodes, &mut open);
            continue;
        }
        if open.len() >= DEEPEST {
            return Err("expected at most 20 cuts above a leaf");
        }
        let feature = usize::try_from(*feature).map_err(|_negative| "expected a feature or -1")?;
        if feature >= columns {
            return Err("expected the number of a feature of the set");
        }
        open.push((nodes.len(), false));
        nodes.push(Node::Cut {
            feature,
            at: *value,
            right: 0,
        });
    }
    if done {
        Ok(nodes)
    } else {
        Err("expected more nodes: a side of a cut is missing")
    }
}

fn leaf(depth: usize, rows: f64) -> Result<Node, &'static str> {
    if rows < 0.0 {
        return Err("expected a number of rows of at least 0 in a leaf");
    }
    let path = real(depth) + average_path_length(rows);
    Ok(Node::Leaf { path })
}

/// After a leaf: sides that are whole now; whether the tree is.
fn close(nodes: &mut [Node], open: &mut Vec<(usize, bool)>) -> bool {
    let next = nodes.len();
    while let Some((place, right_begun)) = open.pop() {
        if right_begun {
            continue;
        }
        if let Some(Node::Cut { right, .. }) = nodes.get_mut(place) {
            *right = next;
        }
        open.push((place, true));
        return false;
    }
    true
}

fn path(tree: &[Node], row: &[f64]) -> f64 {
    let mut place = 0;
    loop {
        match tree.get(place) {
            Some(Node::Leaf { path }) => return *path,
            Some(Node::Cut { feature, at, .. }) if goes_left(row, *feature, *at) => place += 1,
            // A right side lies behind its cut, so this ends.
            Some(Node::Cut { right, .. }) => place = (*right).max(place + 1),
            None => return 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_tree_is_the_logarithm_rounded_up() {
        let depths: Vec<usize> = [0, 1, 2, 3, 4, 5, 128, 129, 256].map(depth_of).to_vec();
        assert_eq!(depths, [0, 0, 1, 2, 2, 3, 7, 8, 8]);
    }

    #[test]
    fn a_tree_in_preorder_is_walked_as_it_is_written() {
        // x0 < 1 ? leaf of 3 : (x1 < 5 ? leaf of 1 : leaf of 2)
        let tree = StoredTree {
            feature: vec![0, -1, 1, -1, -1],
            value: vec![1.0, 3.0, 5.0, 1.0, 2.0],
        };
        let nodes = nodes(&tree, 2).unwrap();
        let paths: Vec<f64> = [[0.0, 9.0], [1.0, 4.0], [2.0, 5.0]]
            .iter()
            .map(|row| path(&nodes, row))
            .collect();
        let c3 = 2.0 * (2.0_f64.ln() + GAMMA) - 4.0 / 3.0;
        assert_eq!(paths, [1.0 + c3, 2.0, 3.0]);
    }

    #[test]
    fn trees_that_are_no_trees_are_refused() {
        for (feature, value, problem) in [
            (vec![], vec![], "more nodes"),
            (vec![0, -1], vec![1.0, 1.0], "more nodes"),
            (vec![-1, -1], vec![1.0, 1.0], "end of the tree"),
            (vec![2, -1, -1], vec![1.0, 1.0, 1.0], "feature of the set"),
            (vec![-2, -1, -1], vec![1.0, 1.0, 1.0], "feature or -1"),
            (vec![-1], vec![], "as many values"),
            (vec![-1], vec![-1.0], "at least 0"),
            (vec![-1], vec![f64::NAN], "finite"),
            (vec![0; 21], vec![0.0; 21], "at most 20"),
        ] {
            let error = nodes(&StoredTree { feature, value }, 2).unwrap_err();
            assert!(error.contains(problem), "{error}, expected {problem}");
        }
    }

    #[test]
    fn what_stands_apart_scores_higher_than_what_is_in_the_crowd() {
        let mut random = Random::new(4);
        let rows: Vec<Vec<f64>> = (0..500)
            .map(|_| vec![random.unit(), random.unit()])
            .collect();
        let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let forest = Forest::grow(&views, 100, 256, &mut Random::new(1)).unwrap();
        let (inside, outside) = (forest.score(&[0.5, 0.5]), forest.score(&[4.0, -3.0]));
        assert!(inside < 0.52 && outside > 0.65, "{inside} {outside}");
        let again = Forest::grow(&views, 100, 256, &mut Random::new(1)).unwrap();
        assert_eq!(forest, again);
        let other = Forest::grow(&views, 100, 256, &mut Random::new(2)).unwrap();
        assert_ne!(forest, other);
    }
}
