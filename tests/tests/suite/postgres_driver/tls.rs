//! `sslmode` against a server with certificates of our own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use whimbrel::driver::{DriverError, Value};
use whimbrel_tests::{Cluster, Setup};

use super::{open, value};

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

struct Server {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(identity: &Identity, client_authority: &str, authentication: &str) -> Self {
        let cluster = Setup::new(15)
            .file("server.crt", identity.certificate.clone())
            .file("server.key", identity.key.clone())
            .file("root.crt", client_authority)
            .setting("ssl", "on")
            .setting("ssl_ca_file", "root.crt")
            .authentication(&format!("local all all trust\n{authentication}"))
            .start()
            .unwrap();
        Self {
            cluster,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Whether the connection is encrypted.
    fn connect(&self, host: &str, parameters: &str) -> Result<bool, DriverError> {
        let port = self.cluster.port();
        let url = format!("postgres://postgres@{host}:{port}/postgres?{parameters}");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut session = open(&url).connect().await?;
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            Ok(value(&mut *session, sql, &[]).await == Value::Boolean(true))
        })
    }
}

#[test]
fn each_mode_verifies_what_it_promises() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let identity = authority.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let server = Server::start(
        &identity,
        &authority.certificate,
        "host all all 127.0.0.1/32 trust",
    );
    let good = server.file("good.crt", &authority.certificate);
    let bad = server.file("bad.crt", &stranger.certificate);
    let (good, bad) = (good.display(), bad.display());

    let connect = |host: &str, parameters: String| server.connect(host, &parameters).ok();
    assert_eq!(connect("127.0.0.1", "sslmode=disable".into()), Some(false));
    assert_eq!(connect("127.0.0.1", "sslmode=allow".into()), Some(false));
    assert_eq!(connect("127.0.0.1", "sslmode=prefer".into()), Some(true));
    assert_eq!(connect("127.0.0.1", "sslmode=require".into()), Some(true));
    assert_eq!(
        connect("127.0.0.1", format!("sslmode=require&sslrootcert={good}")),
        Some(true)
    );
    assert_eq!(
        connect("127.0.0.1", format!("sslmode=require&sslrootcert={bad}")),
        None
    );
    assert_eq!(
        connect("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={good}")),
        Some(true)
    );
    assert_eq!(
        connect("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={bad}")),
        None
    );
    assert_eq!(
        connect(
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={good}")
        ),
        None
    );
    let by_name = format!("sslmode=verify-full&sslrootcert={good}&hostaddr=127.0.0.1");
    assert_eq!(connect("localhost", by_name), Some(true));
    let missing = server.connect("127.0.0.1", "sslmode=verify-ca&sslrootcert=/nonexistent");
    assert!(
        matches!(missing, Err(DriverError::Settings { message }) if message.contains("/nonexistent"))
    );
    assert_eq!(
        connect("127.0.0.1", "sslmode=verify-full&sslrootcert=system".into()),
        None
    );
}

#[test]
fn a_certificate_that_is_trusted_itself_is_enough() {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let identity = Identity {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    let server = Server::start(
        &identity,
        &identity.certificate,
        "host all all 127.0.0.1/32 trust",
    );
    let root = server.file("root.crt", &identity.certificate);
    let verified = format!(
        "sslmode=verify-full&hostaddr=127.0.0.1&sslrootcert={}",
        root.display()
    );
    assert!(server.connect("localhost", &verified).unwrap());
    let stranger = server.file("bad.crt", &Authority::new().certificate);
    let refused = format!("sslmode=verify-ca&sslrootcert={}", stranger.display());
    assert!(server.connect("127.0.0.1", &refused).is_err());
}

#[test]
fn client_certificates_log_in_and_cancel() {
    let authority = Authority::new();
    let identity = authority.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let client = authority.issue("postgres", ExtendedKeyUsagePurpose::ClientAuth);
    let server = Server::start(
        &identity,
        &authority.certificate,
        "hostssl all all 127.0.0.1/32 cert",
    );
    let certificate = server.file("client.crt", &client.certificate);
    let key = server.file("client.key", &client.key);
    let with_key = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        certificate.display(),
        key.display()
    );
    assert!(server.connect("127.0.0.1", &with_key).unwrap());
    assert!(server.connect("127.0.0.1", "sslmode=require").is_err());
    assert!(server.connect("127.0.0.1", "sslmode=disable").is_err());

    let url = format!(
        "postgres://postgres@127.0.0.1:{}/postgres?{with_key}",
        server.cluster.port()
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut session = open(&url).connect().await.unwrap();
        let canceller = session.canceller();
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            canceller.cancel().await;
        });
        let error = session.run("SELECT pg_sleep(30)").await.unwrap_err();
        assert!(matches!(error, DriverError::Cancelled), "{error:?}");
    });

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = server.connect("127.0.0.1", &with_key);
    assert!(
        matches!(refused, Err(DriverError::Settings { message }) if message.contains("chmod 0600"))
    );
}
