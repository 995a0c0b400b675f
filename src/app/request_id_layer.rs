//! Adds an `x-request-id` to each answer.

use actix_web::dev::Service;
use actix_web::http::header::{HeaderName, HeaderValue};

use super::request_id;

/// The middleware.
pub(super) fn name_request<S, B>(
    request: actix_web::dev::ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<actix_web::dev::ServiceResponse<B>, actix_web::Error>> + use<S, B>
where
    S: Service<
            actix_web::dev::ServiceRequest,
            Response = actix_web::dev::ServiceResponse<B>,
            Error = actix_web::Error,
        >,
{
    let id = request_id::next();
    let answer = service.call(request);
    async move {
        let mut response = answer.await?;
        if let Ok(id) = HeaderValue::from_str(&id) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-request-id"), id);
        }
        Ok(response)
    }
}
