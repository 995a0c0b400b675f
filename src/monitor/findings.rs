//! What the last check of each connection found: in memory, for the admin API. The reason alone is on disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::delivery::ConnectionId;
use crate::platforms::api::Finding;

/// The findings of all connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<RwLock<HashMap<ConnectionId, Vec<Finding>>>>);

impl Findings {
    /// Those of one connection, worst first.
    #[must_use]
    pub fn of(&self, id: &ConnectionId) -> Vec<Finding> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
            .unwrap_or_default()
    }

    /// Keeps what a check found.
    pub(super) fn keep(&self, id: &ConnectionId, findings: Vec<Finding>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if findings.is_empty() {
            all.remove(id);
        } else {
            all.insert(id.clone(), findings);
        }
    }
}
