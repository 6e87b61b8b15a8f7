//! Rows as typed values.

use crate::batch::Batch;
use crate::error::Error;
use crate::value::{Column, FromValue, Value, ValueRef};

pub use whimbrel_sdk_macros::{FromRow, Row};

/// One row of a result.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(batch: &'a Batch, index: usize) -> Self {
        Self { batch, index }
    }

    /// The columns in the order of the result.
    pub fn columns(&self) -> &'a [Column] {
        self.batch.columns()
    }

    /// The value of a column, by name.
    ///
    /// # Errors
    /// [`Error::Conversion`], naming column and type, when there is no such column or the value does not fit.
    pub fn get<T: FromValue<'a>>(&self, name: &str) -> Result<T, Error> {
        self.get_at(self.batch.index_of(name)?)
    }

    /// The value of a column, by position from 0.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn get_at<T: FromValue<'a>>(&self, position: usize) -> Result<T, Error> {
        let Some(column) = self.columns().get(position) else {
            return Err(Error::Conversion(format!(
                "the result has {} columns, not {}",
                self.columns().len(),
                position + 1
            )));
        };
        read(column, self.batch.value(position, self.index))
    }
}

/// Reads a value of a column.
#[inline]
pub(crate) fn read<'a, T: FromValue<'a>>(column: &Column, value: ValueRef<'a>) -> Result<T, Error> {
    T::from_value(value).ok_or_else(|| mismatch(column, value, std::any::type_name::<T>()))
}

#[cold]
fn mismatch(column: &Column, value: ValueRef<'_>, wanted: &str) -> Error {
    let Column { name, type_name } = column;
    let of_type = if type_name.is_empty() {
        String::new()
    } else {
        format!(" ({type_name})")
    };
    Error::Conversion(match value {
        ValueRef::Null => format!("column `{name}`{of_type} is NULL; read it as an Option"),
        value => format!(
            "column `{name}`{of_type}: cannot read {} as {wanted}",
            value.describe()
        ),
    })
}

/// A type that a row can be read as: a struct by derive, a tuple by position, or a single value.
///
/// ```
/// use whimbrel_sdk::prelude::*;
///
/// #[derive(FromRow)]
/// struct User {
///     id: i64,
///     #[row(rename = "full_name")]
///     name: String,
///     email: Option<String>,
/// }
///
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<()> {
/// # let database = whimbrel::testing::Database::new()?;
/// # let db = database.db();
/// # db.run("CREATE TABLE users (id INTEGER PRIMARY KEY, full_name TEXT, email TEXT)")?;
/// # db.run("INSERT INTO users VALUES (1, 'Ada Lovelace', NULL)")?;
/// let users: Vec<User> = db.query("SELECT * FROM users", params![])?;
/// let by_position: Vec<(i64, String)> = db.query("SELECT id, full_name FROM users", params![])?;
/// let count: i64 = db.query_one("SELECT count(*) FROM users", params![])?;
/// # assert_eq!((users[0].id, users[0].name.as_str()), (1, by_position[0].1.as_str()));
/// # assert_eq!((users[0].email.as_ref(), count), (None, 1));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
/// `#[derive(Row)]` has a struct go both ways: it is read here, and sent as [`ToRow`](crate::ToRow) says.
///
/// ```
/// use whimbrel_sdk::prelude::*;
///
/// #[derive(Row)]
/// struct Price {
///     id: i64,
///     cents: Option<i64>,
/// }
///
/// /// Takes ten percent off.
/// fn cut(db: &Db) -> Result<u64> {
///     let mut cheaper = RowBuffer::new();
///     for batch in db.query_batches("SELECT cents, id FROM prices ORDER BY id", params![], 10_000)? {
///         for price in batch?.rows::<Price>() {
///             let Price { id, cents } = price?;
///             cheaper.push(&Price { id, cents: cents.map(|cents| cents * 9 / 10) })?;
///         }
///     }
///     // `$1` is the first field, whatever the order of the columns was that it was read from.
///     Ok(db.execute_many("UPDATE prices SET cents = $2 WHERE id = $1", &cheaper)?)
/// }
///
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<()> {
/// # let database = whimbrel::testing::Database::new()?;
/// # let db = database.db();
/// # db.run("CREATE TABLE prices (id INTEGER PRIMARY KEY, cents INTEGER)")?;
/// # db.run("INSERT INTO prices VALUES (1, 100), (2, NULL)")?;
/// # assert_eq!(cut(db)?, 2);
/// for price in db.cursor::<Price>("SELECT * FROM prices WHERE cents IS NOT NULL", params![])? {
///     assert_eq!(price?.cents, Some(90));
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a row",
    note = "add `#[derive(FromRow)]` or `#[derive(Row)]` to it, or read a tuple or a single value"
)]
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// [`Error::Conversion`], naming column and type.
    fn from_row(row: &Row<'_>) -> Result<Self, Error>;
}

impl<T: for<'a> FromValue<'a>> FromRow for T {
    fn from_row(row: &Row<'_>) -> Result<Self, Error> {
        row.get_at(0)
    }
}

impl FromRow for Vec<Value> {
    fn from_row(row: &Row<'_>) -> Result<Self, Error> {
        (0..row.columns().len())
            .map(|position| row.get_at(position))
            .collect()
    }
}

macro_rules! tuples {
    ($(($($type:ident $position:tt),+)),+ $(,)?) => {$(
        impl<$($type: for<'a> FromValue<'a>),+> FromRow for ($($type,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, Error> {
                Ok(($(row.get_at::<$type>($position)?,)+))
            }
        }
    )+};
}

tuples! {
    (A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5), (A 0, B 1, C 2, D 3, E 4, F 5, G 6),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7),
}
