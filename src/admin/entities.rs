//! The admin API's known entities (lists, and one entity with its newest events), and the gaps of a store.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::limits::long_answer;
use super::query::{ApiError, ENTITY_PARAMETERS, Parameters};
use super::state::Admin;
use crate::delivery::ConnectionId;
use crate::entities::{EntityKey, entity_name};

/// `GET /api/entities/{entity}`: in the order in which they were first seen, after a cursor.
pub(super) async fn list(
    request: HttpRequest,
    admin: web::Data<Admin>,
    entity: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let parameters = Parameters::of(&request, ENTITY_PARAMETERS)?;
    let entity = entity_name(&entity).ok_or(ApiError::NotFound)?;
    let filter = parameters.entity_filter(entity)?;
    let slot = admin.limits.answer().await?;
    let read = admin
        .limits
        .read(&admin.journal, move |reader| reader.entities(&filter));
    let page = read.await?;
    let next = page.next.map(|next| next.to_string());
    long_answer(slot, &json!({"entities": page.entities, "next": next}))
}

/// `GET /api/entities/{entity}/{connection}/{id}`: the last known state with its newest events.
pub(super) async fn show(
    request: HttpRequest,
    admin: web::Data<Admin>,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    Parameters::of(&request, &[])?;
    let (entity, connection, id) = path.into_inner();
    let entity = entity_name(&entity).ok_or(ApiError::NotFound)?;
    let connection = ConnectionId::new(&connection).map_err(|_| ApiError::NotFound)?;
    let key = EntityKey {
        connection,
        entity,
        id,
    };
    let slot = admin.limits.answer().await?;
    let read = admin
        .limits
        .read(&admin.journal, move |reader| reader.entity_history(&key));
    let history = read.await?.ok_or(ApiError::NotFound)?;
    long_answer(slot, &history)
}

/// `GET /api/connections/{id}/gaps`: per day, what webhooks reported and what was found by reading the store only.
pub(super) async fn gaps(
    request: HttpRequest,
    admin: web::Data<Admin>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let since = Parameters::of(&request, &["since"])?.gaps_since()?;
    let id = ConnectionId::new(&id).map_err(|_| ApiError::NotFound)?;
    let slot = admin.limits.answer().await?;
    let read = admin.limits.read(&admin.journal, move |reader| {
        if reader.connection(&id)?.is_none() {
            return Ok(None);
        }
        reader.gaps(&id, since).map(Some)
    });
    let days = read.await?.ok_or(ApiError::NotFound)?;
    long_answer(slot, &json!({"days": days}))
}
