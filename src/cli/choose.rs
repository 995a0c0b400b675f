//! The options by which `list`, `redrive` and `acknowledge` choose deliveries.

use clap::Args;
use jiff::Timestamp;

use super::exit::{Exit, fail};
use super::output::note;
use crate::delivery::{ConnectionId, DeliveryKey};
use crate::event::{Entity, Event, EventId};
use crate::journal::entry::{DeliveryState, Position};
use crate::journal::{DeliveryFilter, DeliverySummary, Reader, SEARCHED_BODIES};
use crate::normalize::{Assembled, assemble};

/// Maximum number of deliveries that one step of a search reads.
const PAGE: usize = 500;

#[derive(Args, Debug)]
pub(super) struct DeliverySelection {
    /// States of the deliveries (pending, logged, published, unrouted, unsubscribed, ignored, dead_lettered)
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<DeliveryState>,
    /// Connection of the deliveries
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Platform of the deliveries
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
    /// Topic of the deliveries
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Reason code of the deliveries
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Deliveries received at or after this time
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<Timestamp>,
    /// Deliveries received before this time
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<Timestamp>,
    /// The delivery of this event
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Deliveries with an event of the order with this number; searches the newest 20000 before --until
    #[arg(long, value_name = "NUMBER")]
    order_number: Option<String>,
    /// Deliveries that contain this text, case-sensitive; searches the newest 20000 before --until
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Acknowledged deliveries too
    #[arg(long)]
    acknowledged: bool,
}

fn state(text: &str) -> Result<DeliveryState, String> {
    let names: Vec<&str> = DeliveryState::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    DeliveryState::parse(text).ok_or_else(|| format!("one of {}", names.join(", ")))
}

pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "an instant such as 2026-11-21T00:00:00Z".to_owned())
}

impl DeliverySelection {
    fn filter(&self) -> anyhow::Result<DeliveryFilter> {
        let connection = self
            .connection
            .as_deref()
            .map(ConnectionId::new)
            .transpose();
        let event = match &self.event_id {
            None => None,
            Some(id) => Some(
                EventId::parse(id)
                    .ok_or_else(|| fail(Exit::Usage, format!("{id:?} is not an event id")))?,
            ),
        };
        let mut texts = Vec::new();
        if let Some(text) = &self.text {
            texts = spellings(text);
        } else if let Some(number) = &self.order_number {
            texts = spellings(number);
        }
        Ok(DeliveryFilter {
            key: event.map(|event| event.delivery),
            states: self.state.clone(),
            connection: connection
                .map_err(|error| fail(Exit::Usage, format!("--connection: {error}")))?,
            platform: self.platform.clone(),
            topic: self.topic.clone(),
            reason: self.reason.clone(),
            since: self.since.map(Timestamp::as_millisecond),
            until: self.until.map(Timestamp::as_millisecond),
            with_acknowledged: self.acknowledged,
            texts,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        let words = [
            &self.connection,
            &self.platform,
            &self.topic,
            &self.reason,
            &self.event_id,
            &self.order_number,
            &self.text,
        ];
        self.state.is_empty()
            && words.iter().all(|word| word.is_none())
            && self.since.is_none()
            && self.until.is_none()
    }

    /// The chosen deliveries, newest first.
    pub(super) fn list(
        &self,
        reader: &Reader,
        limit: usize,
    ) -> anyhow::Result<Vec<DeliverySummary>> {
        let filter = self.filter()?;
        let Some(number) = &self.order_number else {
            return Ok(reader.deliveries(&filter, Position::MAX, limit)?);
        };
        let mut found = Vec::new();
        let mut before = Position::MAX;
        let mut read = 0;
        while found.len() < limit {
            let page = reader.deliveries(&filter, before, PAGE)?;
            let Some(last) = page.last() else { break };
            before = last.position;
            read += page.len();
            for summary in page {
                if found.len() < limit && has_order(reader, &summary, number)? {
                    found.push(summary);
                }
            }
            if read >= SEARCHED_BODIES {
                note("the search ended early: give --until to search older deliveries");
                break;
            }
        }
        Ok(found)
    }

    /// The filters for the named ids, or for all chosen deliveries. A search for a text is done before, so that no commit waits
    /// for it.
    pub(super) fn filters(
        &self,
        reader: &Reader,
        ids: &[String],
    ) -> anyhow::Result<Vec<DeliveryFilter>> {
        let filter = DeliveryFilter {
            texts: Vec::new(),
            ..self.filter()?
        };
        let keys = if !ids.is_empty() {
            ids.iter()
                .map(|id| key(id))
                .collect::<anyhow::Result<_>>()?
        } else if self.text.is_some() || self.order_number.is_some() {
            let found = self.list(reader, SEARCHED_BODIES)?;
            found
                .iter()
                .map(|summary| key(&summary.id))
                .collect::<anyhow::Result<Vec<_>>>()?
        } else {
            return Ok(vec![filter]);
        };
        let with_key = |key| DeliveryFilter {
            key: Some(key),
            ..filter.clone()
        };
        Ok(keys.into_iter().map(with_key).collect())
    }
}

/// The spellings of a text in a JSON body: unchanged, with escapes, and with escapes of escapes.
fn spellings(text: &str) -> Vec<String> {
    let escaped: String = text
        .chars()
        .flat_map(|c| {
            if c.is_ascii() {
                vec![c.to_string()]
            } else {
                let mut units = [0; 2];
                c.encode_utf16(&mut units)
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect()
            }
        })
        .collect();
    let mut spellings = vec![
        text.to_owned(),
        escaped.replace('/', "\\/"),
        escaped.clone(),
        escaped.replace('\\', "\\\\"),
    ];
    spellings.sort();
    spellings.dedup();
    spellings
}

fn has_order(reader: &Reader, summary: &DeliverySummary, number: &str) -> anyhow::Result<bool> {
    let Some((_, entry)) = reader.delivery(key(&summary.id)?)? else {
        return Ok(false);
    };
    let is_it = |event: &Event| match &event.normalized.entity {
        Entity::Order(order) => order.number.as_deref() == Some(number) || order.id == number,
        _ => false,
    };
    Ok(match assemble(&entry) {
        Assembled::Events { events, .. } => events.iter().any(is_it),
        Assembled::Ignored(_) | Assembled::Unreadable(_) => false,
    })
}

pub(super) fn key(text: &str) -> anyhow::Result<DeliveryKey> {
    DeliveryKey::parse(text).ok_or_else(|| {
        fail(
            Exit::Usage,
            format!("{text:?} is no delivery's id: those have 32 hexadecimal digits"),
        )
    })
}
