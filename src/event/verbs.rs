//! The verbs of event types: `cartwire.{entity}.{verb}`.

pub const ABANDONED: &str = "abandoned";
pub const APPROVED: &str = "approved";
pub const CANCELLED: &str = "cancelled";
pub const CONNECTED: &str = "connected";
pub const CREATED: &str = "created";
pub const DEGRADED: &str = "degraded";
pub const DELETED: &str = "deleted";
pub const DISCONNECTED: &str = "disconnected";
pub const FULFILLED: &str = "fulfilled";
pub const INSTALLED: &str = "installed";
pub const MERGED: &str = "merged";
pub const PAYMENT_UPDATED: &str = "payment_updated";
pub const PLAN_CANCELLED: &str = "plan_cancelled";
pub const PLAN_CHANGED: &str = "plan_changed";
pub const PLAN_CONVERTED: &str = "plan_converted";
pub const PLAN_PURCHASED: &str = "plan_purchased";
pub const PLAN_REACTIVATED: &str = "plan_reactivated";
pub const PLAN_TRANSFERRED: &str = "plan_transferred";
pub const PUBLISHED: &str = "published";
pub const RECEIVED: &str = "received";
pub const RECOVERED: &str = "recovered";
pub const REFUNDED: &str = "refunded";
pub const REMOVED: &str = "removed";
pub const RESTORED: &str = "restored";
pub const SWITCHED: &str = "switched";
pub const UPDATED: &str = "updated";
