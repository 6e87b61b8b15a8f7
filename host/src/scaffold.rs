//! New projects and new migrations, as files. Nothing that exists is ever overwritten.

mod error;
mod init;
mod name;
mod revision;
mod sdk;
mod template;

pub use error::ScaffoldError;
pub use init::{ProjectTemplate, init};
pub use name::{ID_LEN, new_id};
pub use revision::{NewRevision, Template, create, sql_text};
pub use sdk::unpack_sdk;
