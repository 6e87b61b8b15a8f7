//! SQL text: tokens, statements, and what the words in it say. No server is asked.

pub mod access;
pub mod effects;
pub mod guard;
pub mod lasting;
mod lexer;
mod many;
mod split;
mod words;

pub use lexer::{Construct, Lexer, Token, TokenKind, Unterminated};
pub use many::Many;
pub use split::{Location, Piece, SplitError, split};
pub use words::{Name, Names, Quoting, leading_keywords, names, without_semicolon};
