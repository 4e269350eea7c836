//! Whose turn it is: the nodes of the broker one after the other, from a random one, so that processes spread.

use std::time::Duration;

use super::address::Node;

/// The handshake of the only node must be finished within this time.
const ALONE_FOR: Duration = Duration::from_secs(10);
/// The handshake of one of several nodes, so that a silent one does not take the time of those that answer.
const OF_SEVERAL_FOR: Duration = Duration::from_secs(4);

/// The turn of one connection.
pub(super) struct Turn<'n> {
    nodes: &'n [Node],
    at: usize,
    /// Nodes tried in this round.
    tried: usize,
}

impl<'n> Turn<'n> {
    /// Begins with the node of this number.
    pub(super) fn new(nodes: &'n [Node], first: usize) -> Self {
        Self { nodes, at: first, tried: 0 }
    }

    /// The node to try, its number, and its time limit; none if there is none.
    pub(super) fn node(&self) -> Option<(usize, &'n Node, Duration)> {
        let number = self.at.checked_rem(self.nodes.len())?;
        let limit = if self.nodes.len() > 1 { OF_SEVERAL_FOR } else { ALONE_FOR };
        Some((number, &self.nodes[number], limit))
    }

    /// Goes on to the next node.
    pub(super) fn pass(&mut self) -> Round {
        (self.at, self.tried) = (self.at.wrapping_add(1), self.tried + 1);
        if self.tried < self.nodes.len() {
            return Round::Continues;
        }
        self.tried = 0;
        Round::Ends
    }

    /// A connection has worked: the round begins anew.
    pub(super) fn restart(&mut self) {
        self.tried = 0;
    }
}

/// Where a round stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Another node has not been tried yet: it is tried at once.
    Continues,
    /// Each node was tried.
    Ends,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::address::nodes;

    #[test]
    fn nodes_are_tried_in_turn_and_a_round_ends_after_the_last() {
        let nodes = nodes("amqp://h0,h1,h2").expect("nodes");
        let mut turn = Turn::new(&nodes, 4);
        let mut next = || {
            let (number, node, limit) = turn.node().expect("a node");
            (number, node.place.clone(), limit, turn.pass())
        };
        assert_eq!(next(), (1, "h1:5672".into(), OF_SEVERAL_FOR, Round::Continues));
        assert_eq!(next(), (2, "h2:5672".into(), OF_SEVERAL_FOR, Round::Continues));
        assert_eq!(next(), (0, "h0:5672".into(), OF_SEVERAL_FOR, Round::Ends));
        assert_eq!(next().0, 1);
    }

    #[test]
    fn the_only_node_is_its_own_round() {
        let nodes = nodes("amqp://h0").expect("a node");
        let mut turn = Turn::new(&nodes, 7);
        assert_eq!((turn.node().map(|(_, _, limit)| limit), turn.pass()), (Some(ALONE_FOR), Round::Ends));
        assert!(Turn::new(&[], 0).node().is_none());
    }

    #[test]
    fn a_connection_that_worked_gives_the_others_their_turn_at_once() {
        let nodes = nodes("amqp://h0,h1").expect("nodes");
        let mut turn = Turn::new(&nodes, 0);
        assert_eq!(turn.pass(), Round::Continues);
        turn.restart();
        assert_eq!(turn.pass(), Round::Continues);
        assert_eq!(turn.pass(), Round::Ends);
    }
}
