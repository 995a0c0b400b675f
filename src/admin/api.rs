//! The admin API: events, deliveries, and connections with their rejected requests.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::event_log::{LogQuery, read_log};
use super::limits::{Pieces, long_answer, long_body};
use super::query::{
    ApiError, CHANGED_DELIVERIES_PARAMETERS, DELIVERY_PARAMETERS, EVENT_PARAMETERS, Parameters,
    delivery_key,
};
use super::state::Admin;
use crate::connections::{Connection, RejectionCount};
use crate::delivery::ConnectionId;
use crate::event::EventId;
use crate::journal::{DeliveryFilter, LogPage, PageLimit, ReadResult, Reader};
use crate::normalize::{assemble_page, assemble_row};
use crate::platforms::api::Finding;
use crate::reconcile::ReadProgress;

type ApiResult = Result<HttpResponse, ApiError>;

/// A page of events with the cursor of the next one. Its events are made one after the other while it is written.
#[derive(Serialize)]
struct EventPage<'a> {
    #[serde(serialize_with = "write_events")]
    events: &'a LogPage,
    next: String,
}

fn write_events<S: Serializer>(page: &LogPage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(assemble_page(page).map(|(_, event)| event))
}

/// `GET /api/events`: oldest first, after a cursor.
pub(super) async fn events(request: HttpRequest, admin: web::Data<Admin>) -> ApiResult {
    let parameters = Parameters::of(&request, EVENT_PARAMETERS)?;
    let query = LogQuery {
        parameter: "after",
        after: parameters.after()?,
        limit: PageLimit::rows(parameters.limit()?),
        filter: parameters.event_filter()?,
    };
    let slot = admin.limits.answer().await?;
    let page = read_log(&admin, query, |page, from| {
        Pieces::of_json(&EventPage {
            events: page,
            next: from.advanced(page.next).to_string(),
        })
    });
    Ok(long_body(slot, page.await??))
}

/// `GET /api/events/{id}`
pub(super) async fn event(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> ApiResult {
    Parameters::of(&request, &[])?;
    let id = EventId::parse(&id).ok_or(ApiError::NotFound)?;
    let slot = admin.limits.answer().await?;
    let large_events = admin.limits.large_events.clone();
    let found = admin.limits.read(&admin.journal, move |reader| {
        let Some(row) = reader.event(id.delivery, id.index)? else {
            return Ok(None);
        };
        let _turn = large_events.turn(row.entry.delivery.cost());
        Ok(assemble_row(&row).map(|event| Pieces::of_json(&event)))
    });
    let event = found.await?.ok_or(ApiError::NotFound)?;
    Ok(long_body(slot, event?))
}

/// `GET /api/deliveries`: newest first, before a cursor.
pub(super) async fn deliveries(request: HttpRequest, admin: web::Data<Admin>) -> ApiResult {
    let parameters = Parameters::of(&request, DELIVERY_PARAMETERS)?;
    let (before, limit) = (parameters.before()?, parameters.limit()?);
    let filter = parameters.delivery_filter()?;
    let slot = admin.limits.answer().await?;
    let deliveries = admin
        .limits
        .read(&admin.journal, move |reader| {
            reader.deliveries(&filter, before, limit)
        })
        .await?;
    let next = (deliveries.len() == limit)
        .then(|| deliveries.last().map(|last| last.position.to_string()))
        .flatten();
    long_answer(slot, &json!({"deliveries": deliveries, "next": next}))
}

/// `GET /api/deliveries/{id}`: with its events, headers and body.
pub(super) async fn delivery(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> ApiResult {
    Parameters::of(&request, &[])?;
    let key = delivery_key(&id)?;
    let slot = admin.limits.answer().await?;
    let found = admin.limits.read(&admin.journal, move |reader| {
        let Some((summary, entry)) = reader.delivery(key)? else {
            return Ok(None);
        };
        let events = reader.events_of(summary.position)?;
        Ok(Some((summary, entry, events)))
    });
    let (summary, entry, events) = found.await?.ok_or(ApiError::NotFound)?;
    let events: Vec<_> = events
        .into_iter()
        .map(|event| json!({"id": entry.event_id(event.index), "type": event.event_type, "subject": event.subject}))
        .collect();
    let body = String::from_utf8_lossy(&entry.delivery.body);
    long_answer(
        slot,
        &json!({
            "delivery": summary, "events": events, "headers": entry.delivery.headers, "body": body,
        }),
    )
}

/// `POST /api/deliveries/{id}/redrive`
pub(super) async fn redrive(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> ApiResult {
    Parameters::of(&request, &[])?;
    let key = delivery_key(&id)?;
    let filter = DeliveryFilter {
        key: Some(key),
        ..DeliveryFilter::default()
    };
    let progress = admin.journal.redrive(filter, 0).await?;
    if progress.changed == 0
        && admin
            .limits
            .read(&admin.journal, move |reader| reader.delivery(key))
            .await?
            .is_none()
    {
        return Err(ApiError::NotFound);
    }
    Ok(HttpResponse::Ok().json(json!({"redriven": progress.changed})))
}

/// `POST /api/deliveries/{id}/acknowledge`
pub(super) async fn acknowledge(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> ApiResult {
    Parameters::of(&request, &[])?;
    let key = delivery_key(&id)?;
    let filter = DeliveryFilter {
        key: Some(key),
        ..DeliveryFilter::default()
    };
    let progress = admin.journal.acknowledge(filter, 0).await?;
    if progress.changed == 0
        && admin
            .limits
            .read(&admin.journal, move |reader| reader.delivery(key))
            .await?
            .is_none()
    {
        return Err(ApiError::NotFound);
    }
    note_acknowledged(progress.changed);
    Ok(HttpResponse::Ok().json(json!({"acknowledged": progress.changed})))
}

/// `POST /api/deliveries/acknowledge`: all deliveries that the query of `GET /api/deliveries` finds. It must not be empty.
pub(super) async fn acknowledge_all(request: HttpRequest, admin: web::Data<Admin>) -> ApiResult {
    let filter = Parameters::of(&request, CHANGED_DELIVERIES_PARAMETERS)?.changed_deliveries()?;
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
    #[serde(flatten)]
    progress: ReadProgress,
    /// The findings of the last check since the start of the program, most severe first.
    findings: Vec<Finding>,
    rejections: Vec<RejectionCount>,
}

/// `GET /api/connections`
pub(super) async fn connections(request: HttpRequest, admin: web::Data<Admin>) -> ApiResult {
    Parameters::of(&request, &[])?;
    let slot = admin.limits.answer().await?;
    let connections = admin
        .limits
        .read(&admin.journal, |reader| {
            let connections = reader.connections()?.into_iter();
            let with_progress = |connection| with_progress(reader, connection);
            connections.map(with_progress).collect()
        })
        .await?;
    let connections: Vec<(Connection, ReadProgress)> = connections;
    let views: Vec<ConnectionView> = connections
        .into_iter()
        .map(|connection| view(&admin, connection))
        .collect();
    long_answer(slot, &json!({"connections": views}))
}

/// `GET /api/connections/{id}`
pub(super) async fn connection(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> ApiResult {
    Parameters::of(&request, &[])?;
    let id = ConnectionId::new(&id).map_err(|_| ApiError::NotFound)?;
    let connection = admin
        .limits
        .read(&admin.journal, move |reader| {
            let connection = reader.connection(&id)?;
            connection
                .map(|connection| with_progress(reader, connection))
                .transpose()
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(HttpResponse::Ok().json(view(&admin, connection)))
}

fn with_progress(
    reader: &Reader,
    connection: Connection,
) -> ReadResult<(Connection, ReadProgress)> {
    let reads = reader.store_reads(&connection.id)?;
    let progress = ReadProgress::of(&connection, &reads, Timestamp::now());
    Ok((connection, progress))
}

fn view(admin: &Admin, (connection, progress): (Connection, ReadProgress)) -> ConnectionView {
    let (rejections, findings) = (
        admin.rejections.of(&connection.id),
        admin.findings.of(&connection.id),
    );
    ConnectionView {
        connection,
        progress,
        findings,
        rejections,
    }
}

/// `GET /api/openapi.json`
pub(super) async fn openapi(request: HttpRequest) -> ApiResult {
    Parameters::of(&request, &[])?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(include_str!("openapi.json")))
}

pub(super) async fn not_found() -> ApiResult {
    Err(ApiError::NotFound)
}
