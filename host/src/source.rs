//! Migrations on disk: revisions, contents, digests, and the lock file.
