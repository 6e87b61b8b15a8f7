//! TLS with the meanings that libpq gives to `sslmode`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::driver::DriverError;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// Never encrypt.
    Disable,
    /// Encrypt only where the server insists.
    Allow,
    /// Encrypt where the server can.
    Prefer,
    /// Encrypt; verify the chain only where there are trust anchors.
    Require,
    /// Encrypt, and verify that a trusted authority signed the certificate.
    VerifyCa,
    /// The same, and that the certificate is for this host.
    VerifyFull,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TrustAnchors {
    /// The certificates in a PEM file.
    File(PathBuf),
    /// The authorities that the system trusts.
    System,
}

/// How a connection is to be encrypted.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    pub(super) negotiation: SslNegotiation,
    pub(super) anchors: Option<TrustAnchors>,
    /// The files of the client's certificate and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
}

impl TlsSettings {
    /// Loads the certificates that the mode calls for and makes what tokio-postgres wants.
    ///
    /// # Errors
    /// [`DriverError::Settings`] names the file that is missing or unreadable.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, DriverError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier {
            trust: self.trust()?,
            provider: provider.clone(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| settings_error(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.certificate {
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|error| {
                    settings_error(format!(
                        "the client certificate {} cannot be used: {error}",
                        certificate.display()
                    ))
                })?,
            None => builder.with_no_client_auth(),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn trust(&self) -> Result<Trust, DriverError> {
        let subject = match (self.mode, &self.anchors) {
            (SslMode::Disable | SslMode::Allow | SslMode::Prefer, _) | (SslMode::Require, None) => {
                return Ok(Trust::Anyone);
            }
            (SslMode::Require | SslMode::VerifyCa, _) => Subject::Any,
            (SslMode::VerifyFull, _) => Subject::Host,
        };
        let certificates = match &self.anchors {
            Some(TrustAnchors::File(path)) => certificates(path)?,
            Some(TrustAnchors::System) => rustls_native_certs::load_native_certs().certs,
            None => {
                return Err(settings_error(
                    "the server's certificate is to be verified, but there is nothing to verify it with; \
                     set `sslrootcert` to a file, or to `system`",
                ));
            }
        };
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if usable == 0 {
            return Err(settings_error(match &self.anchors {
                Some(TrustAnchors::File(path)) => {
                    format!(
                        "{} holds no certificate that can be trusted",
                        path.display()
                    )
                }
                _ => "the system has no trusted authorities".to_owned(),
            }));
        }
        Ok(Trust::SignedBy {
            roots,
            certificates,
            subject,
        })
    }
}

fn settings_error(message: impl Into<String>) -> DriverError {
    DriverError::Settings {
        message: message.into(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DriverError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| {
            settings_error(format!(
                "cannot read certificates from {}: {error}",
                path.display()
            ))
        })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, DriverError> {
    refuse_readable_by_others(path)?;
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        settings_error(format!(
            "cannot read a private key from {}: {error}",
            path.display()
        ))
    })
}

/// A key that belongs to root may be readable by a group, as on Debian; any other only by its owner.
#[cfg(unix)]
fn refuse_readable_by_others(path: &Path) -> Result<(), DriverError> {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    let allowed = if metadata.uid() == 0 { 0o640 } else { 0o600 };
    if metadata.mode() & 0o777 & !allowed & 0o077 != 0 {
        return Err(settings_error(format!(
            "the private key {} can be read by others; run `chmod 0600` on it",
            path.display()
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_path: &Path) -> Result<(), DriverError> {
    Ok(())
}

/// Whose certificates are accepted.
#[derive(Debug)]
enum Trust {
    /// Anyone's: the connection is encrypted and no more.
    Anyone,
    /// Those that one of these signed, or one of these themselves.
    SignedBy {
        roots: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
        subject: Subject,
    },
}

/// For whom a trusted certificate must have been issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Any,
    Host,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Trust::SignedBy {
            roots,
            certificates,
            subject,
        } = &self.trust
        {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )
            .or_else(|error| accept_trusted_itself(error, end_entity, certificates))?;
            if *subject == Subject::Host {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A self-signed certificate that is itself trusted is good, as OpenSSL has it. webpki refuses it for being an
/// authority's, after it has checked that it is not out of date.
fn accept_trusted_itself(
    error: rustls::Error,
    end_entity: &CertificateDer<'_>,
    trusted: &[CertificateDer<'static>],
) -> Result<(), rustls::Error> {
    let authority = matches!(
        &error,
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity")
    );
    if authority && trusted.iter().any(|certificate| certificate == end_entity) {
        Ok(())
    } else {
        Err(error)
    }
}
