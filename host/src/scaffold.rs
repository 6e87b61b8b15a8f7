//! New projects and new migrations, as files.

/// How many hexadecimal digits the id of a new revision has.
pub const ID_LEN: usize = 12;
