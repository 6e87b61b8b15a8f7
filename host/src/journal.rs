//! What components were told and answered, kept so that they can run again without a database.
//!
//! A component is a function of what the host tells it: the facts of its call, and the answers to its statements. A
//! journal has all of that, and how the call ended with how much fuel. Whoever runs the same component over it gets the
//! same statements in the same order and the same end, or is told where they first differ.

mod exchange;
mod file;
mod replay;

pub use exchange::{Answered, Asked, Ending, Exchange, Told};
pub(crate) use file::Recording;
pub use file::{Journal, JournalError, Recorded, load};
pub(crate) use replay::Replay;
pub use replay::{Difference, Replayed, Verdict};
