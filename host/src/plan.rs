//! From applied heads and a target to steps.
