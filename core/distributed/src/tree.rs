//! A sum over the parts of a batch, in an order that does not depend on who has which part.
//!
//! The parts are the leaves of a binary tree, and each node is the sum of the two below it; where the number of
//! parts is no power of two, a node without a neighbour is its parent. Addition of two numbers does not depend
//! on their order, so that a sum is determined by the number of parts alone.

/// A node: the parts from `index << level` on, `1 << level` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    level: u32,
    index: usize,
}

impl Node {
    fn of_part(part: usize) -> Self {
        Self { level: 0, index: part }
    }

    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    /// Whether all parts are below it.
    fn is_root(self, parts: usize) -> bool {
        self.index == 0 && 1_usize.checked_shl(self.level).is_none_or(|below| below >= parts)
    }

    /// Whether there is no part to the right of it below its parent.
    fn has_no_neighbour(self, parts: usize) -> bool {
        self.index.is_multiple_of(2) && (self.index + 1) << self.level >= parts
    }

    /// Whether the two have one parent, and this is the left one.
    fn is_left_of(self, other: Self) -> bool {
        self.level == other.level && other.index % 2 == 1 && self.index + 1 == other.index
    }
}

/// Adds a node to those before it, and has `merge` add up whatever has one parent.
fn add<T>(
    nodes: &mut Vec<(Node, T)>,
    parts: usize,
    mut node: Node,
    mut value: T,
    merge: impl Fn(&mut T, T),
) {
    loop {
        while !node.is_root(parts) && node.has_no_neighbour(parts) {
            node = node.parent();
        }
        match nodes.pop_if(|(last, _)| last.is_left_of(node)) {
            Some((_, mut left)) => {
                merge(&mut left, value);
                (node, value) = (node.parent(), left);
            }
            None => break nodes.push((node, value)),
        }
    }
}

/// What neighbouring parts come to in the tree, without values.
pub(crate) fn nodes_of(part: std::ops::Range<usize>, parts: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    part.for_each(|part| add(&mut nodes, parts, Node::of_part(part), (), |(), ()| ()));
    nodes.into_iter().map(|(node, ())| node).collect()
}

/// What parts have to be summed: values of any kind, wherever they are.
pub trait Summand {
    /// Adds another one, value by value.
    fn add(&mut self, other: Self);
}

impl Summand for Vec<f32> {
    fn add(&mut self, other: Self) {
        self.iter_mut().zip(other).for_each(|(left, right)| *left += right);
    }
}

/// The sum over some neighbouring parts of a batch, as far as the tree has it: of all parts, or of a number of
/// parts that is a power of two and starts at a multiple of it, one list of values.
#[derive(Clone, Debug)]
pub struct TreeSum<T = Vec<f32>> {
    parts: usize,
    nodes: Vec<(Node, T)>,
}

impl<T: Summand> TreeSum<T> {
    /// Nothing yet, of a batch of so many parts.
    pub fn new(parts: usize) -> Self {
        Self { parts, nodes: Vec::new() }
    }

    /// Adds the values of a part, which follows the one before it.
    pub fn add(&mut self, part: usize, values: T) {
        self.add_node(Node::of_part(part), values);
    }

    pub(crate) fn add_node(&mut self, node: Node, values: T) {
        add(&mut self.nodes, self.parts, node, values, T::add);
    }

    /// The sum over all parts; nothing as long as some are missing.
    pub fn finish(mut self) -> Option<T> {
        let (node, values) = self.nodes.pop()?;
        (self.nodes.is_empty() && node.is_root(self.parts)).then_some(values)
    }
}

impl<T> TreeSum<T> {
    /// The same sums as values of another kind.
    ///
    /// # Errors
    /// Some cannot be had.
    pub fn try_map<U, E>(&self, mut to: impl FnMut(&T) -> Result<U, E>) -> Result<TreeSum<U>, E> {
        let nodes = self.nodes.iter().map(|(node, values)| Ok((*node, to(values)?)));
        Ok(TreeSum { parts: self.parts, nodes: nodes.collect::<Result<_, E>>()? })
    }

    /// Has each sum take in that over the same parts of other values.
    ///
    /// # Errors
    /// Some cannot be had.
    pub fn try_join<U, E>(
        &mut self,
        others: &TreeSum<U>,
        mut join: impl FnMut(&mut T, &U) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pairs = self.nodes.iter_mut().zip(&others.nodes);
        pairs.try_for_each(|((_, own), (_, other))| join(own, other))
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    pub(crate) fn nodes(&self) -> &[(Node, T)] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_added_up_as_far_as_the_tree_has_them() {
        let counts = |parts: usize, from: usize, to: usize| nodes_of(from..to, parts).len();
        for parts in 1..40 {
            assert_eq!(counts(parts, 0, parts), 1, "all of {parts}");
        }
        assert_eq!(
            (counts(8, 0, 4), counts(8, 4, 8), counts(8, 2, 4), counts(8, 1, 3)),
            (1, 1, 1, 2)
        );
        // The last two of six have no neighbour.
        assert_eq!(nodes_of(4..6, 6), [Node { level: 2, index: 1 }]);
        assert_eq!(nodes_of(4..5, 5), [Node { level: 2, index: 1 }]);
        assert_eq!(nodes_of(2..2, 5), []);
    }

    #[test]
    fn a_sum_is_that_of_the_tree() {
        // Where the order is seen in the result.
        let values = [1e8_f32, 1.0, -1e8, 1.0, 3.0];
        let mut sum = TreeSum::new(5);
        for (part, value) in values.into_iter().enumerate() {
            assert_eq!(sum.clone().finish(), None, "{part} of 5");
            sum.add(part, vec![value]);
        }
        let expected = ((1e8 + 1.0) + (-1e8 + 1.0)) + 3.0;
        assert_eq!(sum.clone().finish(), Some(vec![expected]));
        let mut joined = sum.try_map(|values| Ok::<_, ()>(values.clone())).unwrap();
        let others = sum.try_map(|values| Ok::<_, ()>(values[0] * 2.0)).unwrap();
        let join = |own: &mut Vec<f32>, other: &f32| {
            own.push(*other);
            Ok::<_, ()>(())
        };
        joined.try_join(&others, join).unwrap();
        assert_eq!(joined.finish(), Some(vec![expected, 2.0 * expected]));
    }
}
