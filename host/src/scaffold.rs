//! New projects and new migrations, as files.
