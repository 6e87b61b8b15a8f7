//! A user's project: everything that the engine needs, put together.
