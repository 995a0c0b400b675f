//! Converts deliveries into events: `delivery` chooses entity and verb, and each entity has a file.

mod body_fault;
mod coupon;
mod customer;
mod delivery;
mod document;
mod enrichment;
mod failure;
mod fit;
mod lines;
mod options;
mod order;
mod payload;
mod payment;
mod product;

pub(super) use body_fault::BodyFault;
pub(super) use delivery::normalize;
pub(super) use enrichment::entity_of;
pub(super) use failure::OWNER_LOST_RIGHTS;
