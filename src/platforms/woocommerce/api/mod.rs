//! The requests to a store's REST API, and the meaning of its answers. Pure: `outbound` sends the requests.
//!
//! `check` is the order of a check: find the store (`address`), find the authentication that it accepts (`authenticate`),
//! compare and repair the webhooks (`mode`, `repair`). `enrichment` fetches what a delivery leaves out, and `reading` reads
//! lists. A check first tries what an earlier one stored, so that checking a healthy store takes two requests.

mod address;
mod authenticate;
mod body;
mod change;
mod check;
mod client;
mod compare;
mod description;
mod diagnosis;
mod enrichment;
mod learn;
mod list_page;
mod listing;
mod mode;
mod outcome;
mod pages;
mod reachable;
mod reading;
mod redirect;
mod refusal;
mod repair;
mod rows;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod urls;
mod variations;
mod webhooks;
mod write;

pub(super) use check::{
    PACE, SCOPES, can_request, check, delivery_url_findings, registered_webhooks,
};
pub(super) use compare::REPAIRABLE_PROBLEMS;
pub(super) use enrichment::fetch;
pub(super) use outcome::OWN_CODES;
pub(super) use reading::{READABLE, deletion_request, read_page, topic};
