//! Cartwire.
pub mod delivery;
pub mod event;
pub mod platforms;
pub mod replay;
