//! WordPress's JSON errors.

use serde_json::{Value, json};

use super::reply::Reply;

pub(super) fn problem(status: u16, code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message, "data": { "status": status } })
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &problem(status, code, message))
}
