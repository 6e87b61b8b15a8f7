//! The one test binary: linking the host once keeps the whole run short.
