//! The partitions of one connection whose first event can be published, in turns by route.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::task::{Route, Task};

/// The ready partitions of one connection, by route.
#[derive(Debug, Default)]
pub(super) struct Ready {
    routes: VecDeque<Route>,
    keys: HashMap<Route, VecDeque<String>>,
}

/// Whether the first event of a partition may be published now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Go,
    /// No event of its route may be published now.
    SkipRoute,
    /// No event of its connection may be published now.
    SkipConnection,
}

impl Ready {
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Adds a partition at the end of its route.
    pub(super) fn push(&mut self, route: Route, key: String) {
        let keys = self.keys.entry(Arc::clone(&route)).or_insert_with(|| {
            self.routes.push_back(route);
            VecDeque::new()
        });
        keys.push_back(key);
    }

    /// Takes the first event of the next partition that `may` lets go.
    pub(super) fn take(
        &mut self,
        partitions: &mut HashMap<String, VecDeque<Task>>,
        may: impl Fn(&Route, &Task) -> Readiness,
    ) -> Option<(Route, Task)> {
        for _ in 0..self.routes.len() {
            let route = self.routes.pop_front()?;
            let Some(keys) = self.keys.get_mut(&route) else {
                continue;
            };
            let first = keys.front().and_then(|key| partitions.get_mut(key));
            let turn = first
                .as_ref()
                .and_then(|partition| partition.front())
                .map(|task| may(&route, task));
            let mut taken = None;
            match (turn, first) {
                (Some(Readiness::Go), Some(partition)) => {
                    taken = partition.pop_front();
                    keys.pop_front();
                }
                (Some(_), _) => {}
                (None, _) => drop(keys.pop_front()),
            }
            if keys.is_empty() {
                self.keys.remove(&route);
            } else {
                self.routes.push_back(Arc::clone(&route));
            }
            if let Some(task) = taken {
                return Some((route, task));
            }
            if turn == Some(Readiness::SkipConnection) {
                return None;
            }
        }
        None
    }

    /// Removes these keys. Returns those that were ready.
    pub(super) fn withdraw(&mut self, touched: &HashSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        for keys in self.keys.values_mut() {
            keys.retain(|key| {
                let stays = !touched.contains(key);
                if !stays {
                    found.push(key.clone());
                }
                stays
            });
        }
        self.keys.retain(|_, keys| !keys.is_empty());
        self.routes.retain(|route| self.keys.contains_key(route));
        found
    }
}
