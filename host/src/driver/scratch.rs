//! A database to try things in.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Driver, DriverError};

/// A database of its own, which goes away when it is discarded.
#[async_trait]
pub trait Scratch: Send {
    /// Its driver. All of its sessions must be gone, or are ended, when it is discarded.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Takes it away with all that it holds.
    ///
    /// # Errors
    /// A [`DriverError`]; what is left then is named.
    async fn discard(self: Box<Self>) -> Result<(), DriverError>;
}
