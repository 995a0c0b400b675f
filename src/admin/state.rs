//! The state that all admin requests share.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::auth_token::AdminToken;
use super::limits::Limits;
use crate::connections::{Directory, Rejections};
use crate::journal::Journal;
use crate::monitor::Findings;
use crate::publisher::BrokerStatus;

/// What the admin routes need.
#[derive(Clone)]
pub struct Admin {
    /// What there is to see.
    pub journal: Journal,
    /// How the publisher stands with the broker. `None` without one.
    pub broker_status: Option<watch::Receiver<BrokerStatus>>,
    /// Who may send.
    pub directory: Directory,
    /// Who was turned away.
    pub rejections: Arc<Rejections>,
    /// What the last checks found.
    pub findings: Findings,
    /// The counters.
    pub metrics: PrometheusHandle,
    /// Ends streams.
    pub shutdown: watch::Receiver<bool>,
    /// How much may happen at once.
    pub limits: Arc<Limits>,
    /// What must be shown to see anything.
    pub token: Option<AdminToken>,
}
