//! The version table and the ledger.
