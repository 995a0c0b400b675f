//! Fixtures: reading them, and sending them to a running gateway over real HTTP.

pub mod fixture;
