//! The migrations of the data file, in order. A released migration never changes; a new one is added at the end.

/// The SQL of each migration. The number of migrations is the format of a file that has them all.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_connections.sql"),
    include_str!("migrations/0002_journal.sql"),
    include_str!("migrations/0003_keys.sql"),
    include_str!("migrations/0004_completions.sql"),
    include_str!("migrations/0005_installations.sql"),
    include_str!("migrations/0006_usage.sql"),
    include_str!("migrations/0007_gateway_state.sql"),
    include_str!("migrations/0008_omitted_raw.sql"),
    include_str!("migrations/0009_claims.sql"),
    include_str!("migrations/0010_removed_installations.sql"),
    include_str!("migrations/0011_entities.sql"),
    include_str!("migrations/0012_entity_revisions.sql"),
    include_str!("migrations/0013_backfill.sql"),
];
