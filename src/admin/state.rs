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
    /// Data to read.
    pub journal: Journal,
    /// The state of the broker's connection; `None` without a broker.
    pub broker_status: Option<watch::Receiver<BrokerStatus>>,
    /// The connections.
    pub directory: Directory,
    /// Rejected requests by connection.
    pub rejections: Arc<Rejections>,
    /// The findings of the last checks.
    pub findings: Findings,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// Ends the streams at shutdown.
    pub shutdown: watch::Receiver<bool>,
    /// Limits of concurrent requests.
    pub limits: Arc<Limits>,
    /// The required token.
    pub token: Option<AdminToken>,
}
