//! A core module to a component.

use wit_component::ComponentEncoder;

use super::BuildError;

/// Wraps a core module that carries the metadata of wit-bindgen.
pub(super) fn component(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode());
    encoded.map_err(|error| BuildError::Encode {
        reason: format!("{error:#}"),
    })
}
