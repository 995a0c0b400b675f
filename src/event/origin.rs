//! Why an event was published, and how much of its entity it carries.

use serde::Serialize;

/// Why the event was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A webhook arrived, or the gateway itself noticed a change of a connection.
    Webhook,
    /// The gateway read the store, which sends no webhooks or whose past was requested.
    Poll,
    /// The gateway read the store and found a change that no webhook had reported.
    Reconcile,
    /// An operator published the delivery again.
    Redrive,
}

impl Origin {
    /// The value in the envelope and in AMQP headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Webhook => "webhook",
            Origin::Poll => "poll",
            Origin::Reconcile => "reconcile",
            Origin::Redrive => "redrive",
        }
    }
}

/// How much of the entity the event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The whole entity: a member that is absent is not set at the store.
    Full,
    /// Some members of the entity: the value of an absent member is unknown.
    Partial,
    /// Ids only: request the other members from the store's API.
    Reference,
}

impl Authority {
    /// The value in the envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Authority::Full => "full",
            Authority::Partial => "partial",
            Authority::Reference => "reference",
        }
    }
}
