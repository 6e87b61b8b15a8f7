//! Components as migrations.
