//! Statements on their way to the server, with their parameters.

use std::future::Future;

use tokio_postgres::types::{ToSql, Type};

use crate::driver::postgres::link::Link;
use crate::driver::postgres::statements::StatementCache;
use crate::driver::postgres::values::{Parameter, encode, untyped};
use crate::driver::{DriverError, Value};

/// The values of a statement's parameters, as the types that it has want them.
///
/// # Errors
/// [`DriverError::Conversion`] names the parameter and its type.
pub(super) fn encode_all<'a>(
    values: &'a [Value],
    types: &[Type],
) -> Result<Vec<Parameter<'a>>, DriverError> {
    if values.len() != types.len() {
        return Err(DriverError::Conversion(format!(
            "the statement has {} parameters but {} values were given",
            types.len(),
            values.len()
        )));
    }
    values
        .iter()
        .zip(types)
        .enumerate()
        .map(|(at, (value, wanted))| encode(value, wanted, at + 1))
        .collect()
}

/// One of the host's statements on its way: prepared, or else whole with the types left to the server.
pub(super) fn own_request<'a>(
    link: &Link,
    statements: &mut StatementCache,
    sql: &'a str,
    params: &'a [Value],
) -> Result<impl Future<Output = Result<u64, tokio_postgres::Error>> + use<'a>, DriverError> {
    let client = link.client.clone();
    let prepared = statements.get(sql);
    let params = match &prepared {
        Some(statement) => encode_all(params, statement.params())?,
        None => params.iter().map(untyped).collect(),
    };
    Ok(async move {
        match prepared {
            Some(statement) => client.execute_raw(&statement, &params).await,
            None => client.execute_typed(sql, &with_unknown_type(&params)).await,
        }
    })
}

/// Leaves the types of parameters to the server.
pub(super) fn with_unknown_type<'p>(
    params: &'p [Parameter<'_>],
) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
    params
        .iter()
        .map(|param| (param as &(dyn ToSql + Sync), Type::UNKNOWN))
        .collect()
}
