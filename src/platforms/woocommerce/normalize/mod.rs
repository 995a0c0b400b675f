//! Converts deliveries into events: `delivery` chooses entity and verb, and each entity has a file.

mod body_fault;
mod completion;
mod coupon;
mod customer;
mod delivery;
mod document;
mod failure;
mod fit;
mod lines;
mod options;
mod order;
mod payload;
mod payment;
mod product;
mod resource;

pub(super) use body_fault::BodyFault;
pub(super) use completion::entity_of;
pub(super) use delivery::normalize;
pub(super) use failure::OWNER_LOST_RIGHTS;
