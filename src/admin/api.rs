//! The admin API: events to consume, deliveries to look into, connections with what was turned away.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use super::Admin;
use super::query::{ApiError, DeliveryQuery, EventQuery, delivery_key};
use crate::connections::{Connection, RejectionCount};
use crate::delivery::ConnectionId;
use crate::event::{Event, EventId};
use crate::journal::DeliveryFilter;
use crate::normalize::{assemble_page, assemble_row};
use crate::platforms::api::Finding;

type Answer = Result<HttpResponse, ApiError>;

#[derive(Serialize)]
struct Page<T> {
    events: Vec<T>,
    next: String,
}

/// `GET /api/events`: oldest first, after a cursor.
pub(super) async fn events(admin: web::Data<Admin>, query: web::Query<EventQuery>) -> Answer {
    let query = query.into_inner();
    let (after, limit, filter) = (query.after()?, query.limit()?, query.filter());
    let page = admin.journal.read(move |reader| {
        let page = reader.log(after, limit, &filter)?;
        Ok((assemble_page(&page), page.next.to_string()))
    });
    let (events, next) = page.await?;
    let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
    Ok(HttpResponse::Ok().json(Page { events, next }))
}

/// `GET /api/events/{id}`
pub(super) async fn event(admin: web::Data<Admin>, id: web::Path<String>) -> Answer {
    let id = EventId::parse(&id).ok_or(ApiError::NotFound)?;
    let found = admin.journal.read(move |reader| {
        let row = reader.event(id.delivery, id.index)?;
        Ok(row.and_then(|row| assemble_row(&row)))
    });
    let event = found.await?.ok_or(ApiError::NotFound)?;
    Ok(HttpResponse::Ok().json(event))
}

/// `GET /api/deliveries`: newest first, before a cursor.
pub(super) async fn deliveries(
    admin: web::Data<Admin>,
    query: web::Query<DeliveryQuery>,
) -> Answer {
    let query = query.into_inner();
    let (before, limit, filter) = (query.before()?, query.limit()?, query.filter()?);
    let deliveries = admin
        .journal
        .read(move |reader| reader.deliveries(&filter, before, limit))
        .await?;
    let next = (deliveries.len() == limit)
        .then(|| deliveries.last().map(|last| last.position.to_string()))
        .flatten();
    Ok(HttpResponse::Ok().json(json!({"deliveries": deliveries, "next": next})))
}

/// `GET /api/deliveries/{id}`: with its events and what was received.
pub(super) async fn delivery(admin: web::Data<Admin>, id: web::Path<String>) -> Answer {
    let key = delivery_key(&id)?;
    let found = admin.journal.read(move |reader| {
        let Some((summary, entry)) = reader.delivery(key)? else {
            return Ok(None);
        };
        let events = reader.events_of(summary.position)?;
        Ok(Some((summary, entry, events)))
    });
    let (summary, entry, events) = found.await?.ok_or(ApiError::NotFound)?;
    let events: Vec<_> = events
        .into_iter()
        .map(|(index, event_type, subject)| json!({"id": entry.event_id(index), "type": event_type, "subject": subject}))
        .collect();
    let body = String::from_utf8_lossy(&entry.delivery.body);
    Ok(HttpResponse::Ok().json(json!({
        "delivery": summary, "events": events, "headers": entry.delivery.headers, "body": body,
    })))
}

/// `POST /api/deliveries/{id}/redrive`
pub(super) async fn redrive(admin: web::Data<Admin>, id: web::Path<String>) -> Answer {
    let key = delivery_key(&id)?;
    let filter = DeliveryFilter {
        key: Some(key),
        ..DeliveryFilter::default()
    };
    let progress = admin.journal.redrive(filter, 0).await?;
    if progress.changed == 0
        && admin
            .journal
            .read(move |reader| reader.delivery(key))
            .await?
            .is_none()
    {
        return Err(ApiError::NotFound);
    }
    Ok(HttpResponse::Ok().json(json!({"redriven": progress.changed})))
}

/// `POST /api/deliveries/{id}/acknowledge`
pub(super) async fn acknowledge(admin: web::Data<Admin>, id: web::Path<String>) -> Answer {
    let key = delivery_key(&id)?;
    let filter = DeliveryFilter {
        key: Some(key),
        ..DeliveryFilter::default()
    };
    let progress = admin.journal.acknowledge(filter, 0).await?;
    if progress.changed == 0
        && admin
            .journal
            .read(move |reader| reader.delivery(key))
            .await?
            .is_none()
    {
        return Err(ApiError::NotFound);
    }
    note_acknowledged(progress.changed);
    Ok(HttpResponse::Ok().json(json!({"acknowledged": progress.changed})))
}

/// `POST /api/deliveries/acknowledge`: all that fit the query of `GET /api/deliveries`, which must not be empty.
pub(super) async fn acknowledge_all(
    admin: web::Data<Admin>,
    query: web::Query<DeliveryQuery>,
) -> Answer {
    let filter = query.into_inner().choice()?;
    let (mut after, mut acknowledged) = (0, 0);
    loop {
        let progress = admin.journal.acknowledge(filter.clone(), after).await?;
        acknowledged += progress.changed;
        match progress.next {
            Some(next) => after = next,
            None => break,
        }
    }
    note_acknowledged(acknowledged);
    Ok(HttpResponse::Ok().json(json!({"acknowledged": acknowledged})))
}

fn note_acknowledged(deliveries: u64) {
    if deliveries > 0 {
        metrics::counter!("cartwire_deliveries_acknowledged_total").increment(deliveries);
        tracing::info!(deliveries, "deliveries acknowledged");
    }
}

#[derive(Serialize)]
struct ConnectionView {
    #[serde(flatten)]
    connection: Connection,
    /// What the last check found, worst first: since the start of the program.
    findings: Vec<Finding>,
    rejections: Vec<RejectionCount>,
}

/// `GET /api/connections`
pub(super) async fn connections(admin: web::Data<Admin>) -> Answer {
    let connections = admin.journal.read(|reader| reader.connections()).await?;
    let views: Vec<ConnectionView> = connections
        .into_iter()
        .map(|connection| view(&admin, connection))
        .collect();
    Ok(HttpResponse::Ok().json(json!({"connections": views})))
}

/// `GET /api/connections/{id}`
pub(super) async fn connection(admin: web::Data<Admin>, id: web::Path<String>) -> Answer {
    let id = ConnectionId::new(&id).map_err(|_| ApiError::NotFound)?;
    let connection = admin
        .journal
        .read(move |reader| reader.connection(&id))
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(HttpResponse::Ok().json(view(&admin, connection)))
}

fn view(admin: &Admin, connection: Connection) -> ConnectionView {
    let (rejections, findings) = (
        admin.rejections.of(&connection.id),
        admin.findings.of(&connection.id),
    );
    ConnectionView {
        connection,
        findings,
        rejections,
    }
}

/// `GET /api/openapi.json`
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(include_str!("openapi.json"))
}

pub(super) async fn not_found() -> Answer {
    Err(ApiError::NotFound)
}
