//! Values between [`Value`](crate::driver::Value) and PostgreSQL's own forms.

mod array;
mod column;
mod decode;
mod encode;
mod numeric;
mod text;
mod time;

pub(super) use column::{are_distinct, array, copy_rows, is_element};
pub(super) use decode::{Cell, Decoder, type_name};
pub(super) use encode::{Parameter, encode, untyped};
pub(super) use text::text_form;
