//! The findings of each connection's last background check, in memory, for the admin API. Only the reason code is stored.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::delivery::ConnectionId;
use crate::platforms::api::Finding;

/// The findings of all connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<RwLock<HashMap<ConnectionId, Vec<Finding>>>>);

impl Findings {
    /// The findings of a connection, most severe first.
    #[must_use]
    pub fn of(&self, id: &ConnectionId) -> Vec<Finding> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
            .unwrap_or_default()
    }

    /// Replaces the findings of a connection.
    pub(super) fn set(&self, id: &ConnectionId, findings: Vec<Finding>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if findings.is_empty() {
            all.remove(id);
        } else {
            all.insert(id.clone(), findings);
        }
    }
}
