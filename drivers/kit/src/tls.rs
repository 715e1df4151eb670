//! TLS by rustls on ring: what the user configured, and what a failed handshake means.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName,
    pem::{self, PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, Error as RustlsError, RootCertStore,
        SupportedProtocolVersion, crypto::ring, version,
    },
};

const CA_FILE: &str = "ssl_ca_file";
const CERT_FILE: &str = "ssl_cert_file";
const KEY_FILE: &str = "ssl_key_file";

/// The oldest TLS version that is accepted. There is nothing below 1.2 in rustls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

const ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const TLS13_ONLY: &[&SupportedProtocolVersion] = &[&version::TLS13];

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => ALL_VERSIONS,
            Self::Tls13 => TLS13_ONLY,
        }
    }
}

/// The TLS material of a transport, as the user names it. The default trusts the system's roots and shows no certificate.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate, followed by its intermediates.
    pub cert_file: Option<PathBuf>,
    /// PEM file with our certificate's private key, not encrypted; absent if the key is in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// The oldest version to accept.
    pub min_version: MinVersion,
}

/// TLS material that cannot be used. Permanent until someone changes the option or the file.
#[derive(Debug, thiserror::Error)]
#[error("{option}{}: {problem}", path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default())]
pub struct MaterialError {
    option: &'static str,
    path: Option<PathBuf>,
    problem: String,
}

impl MaterialError {
    fn new(option: &'static str, path: &Path, problem: impl Into<String>) -> Self {
        Self { option, path: Some(path.to_owned()), problem: problem.into() }
    }

    /// The option, and what is wrong with its value.
    #[must_use]
    pub fn into_parts(self) -> (&'static str, String) {
        let reason = match self.path {
            Some(path) => format!("{}: {}", path.display(), self.problem),
            None => self.problem,
        };
        (self.option, reason)
    }
}

/// Ready-made TLS for any number of connections.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks all material. Blocks on the disk; opens no socket.
    ///
    /// # Errors
    ///
    /// Names the option and the path of what is missing, unreadable, empty, or does not fit together.
    pub fn load(options: &TlsOptions) -> Result<Self, MaterialError> {
        let roots = match &options.ca_file {
            Some(path) => roots_from(path)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(options.min_version.versions())
            .map_err(|error| MaterialError { option: "ssl_version", path: None, problem: error.to_string() })?
            .with_root_certificates(roots);
        let config = match (&options.cert_file, &options.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert_file), key_file) => {
                let chain = certificates(CERT_FILE, cert_file)?;
                let (option, key_file) =
                    key_file.as_ref().map_or((CERT_FILE, cert_file), |key_file| (KEY_FILE, key_file));
                let key = private_key(option, key_file)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    RustlsError::InconsistentKeys(_) => MaterialError::new(
                        option,
                        key_file,
                        format!("the key does not belong to the certificate in {CERT_FILE} ({})", cert_file.display()),
                    ),
                    RustlsError::InvalidCertificate(_) => {
                        MaterialError::new(CERT_FILE, cert_file, format!("not a usable certificate: {error}"))
                    }
                    error => MaterialError::new(option, key_file, format!("not a usable key: {error}")),
                })?
            }
            (None, Some(key_file)) => {
                let problem = format!("a key without a certificate: set {CERT_FILE} too");
                return Err(MaterialError::new(KEY_FILE, key_file, problem));
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Performs the handshake and verifies the peer's certificate for `host`, a DNS name or an IP address.
    ///
    /// # Errors
    ///
    /// What went wrong, classified; see [`TlsError::is_permanent`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn handshake(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError {
            failure: Failure::WrongHostName,
            cause: Arc::new(io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no DNS name or address"))),
        })?;
        self.connector.connect(name, stream).await.map_err(TlsError::from_io)
    }
}

/// What made a TLS connection fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer's certificate has expired.
    Expired,
    /// The peer's certificate is not valid yet.
    NotValidYet,
    /// The peer's certificate is for other hosts.
    WrongHostName,
    /// None of the trusted authorities has issued the peer's certificate.
    UnknownAuthority,
    /// The peer's certificate is unusable for another reason.
    BadCertificate,
    /// The peer answers in something else than TLS.
    NotTls,
    /// The peer wants a certificate from us, or another one.
    ClientCertificate,
    /// No TLS version or cipher suite in common; some peers say the same when they miss a client certificate.
    Incompatible,
    /// The connection broke, or a failure that names no cause.
    Broken,
}

impl Failure {
    fn says(self) -> &'static str {
        match self {
            Self::Expired => "the peer's certificate has expired",
            Self::NotValidYet => "the peer's certificate is not valid yet",
            Self::WrongHostName => "the peer's certificate is not for this host name",
            Self::UnknownAuthority => "the peer's certificate is from an unknown authority (ssl_ca_file)",
            Self::BadCertificate => "the peer's certificate is unusable",
            Self::NotTls => "the peer does not speak TLS on this port",
            Self::ClientCertificate => "the peer requires another client certificate (ssl_cert_file, ssl_key_file)",
            Self::Incompatible => {
                "the peer refuses the handshake: no version or cipher in common, or no client certificate (ssl_cert_file)"
            }
            Self::Broken => "the TLS connection broke",
        }
    }

    fn of(error: &RustlsError) -> Self {
        use AlertDescription as Alert;
        use CertificateError as Certificate;
        match error {
            RustlsError::InvalidCertificate(error) => match error {
                Certificate::Expired | Certificate::ExpiredContext { .. } => Self::Expired,
                Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => Self::NotValidYet,
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => Self::WrongHostName,
                // A signature that does not fit is what an authority looks like that was made anew under its old name.
                Certificate::UnknownIssuer | Certificate::BadSignature => Self::UnknownAuthority,
                _ => Self::BadCertificate,
            },
            RustlsError::InvalidMessage(_) => Self::NotTls,
            RustlsError::AlertReceived(alert) => match alert {
                Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied => Self::ClientCertificate,
                Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => Self::Incompatible,
                _ => Self::Broken,
            },
            RustlsError::PeerIncompatible(_) => Self::Incompatible,
            _ => Self::Broken,
        }
    }
}

/// A TLS connection that failed, in the handshake or after it.
///
/// With TLS 1.3 a peer checks our certificate after our side of the handshake is done, so a missing one shows in the
/// first read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .failure.says())]
pub struct TlsError {
    failure: Failure,
    #[source]
    cause: Arc<io::Error>,
}

impl TlsError {
    fn from_io(error: io::Error) -> Self {
        let failure = rustls_error(&error).map_or(Failure::Broken, Failure::of);
        Self { failure, cause: Arc::new(error) }
    }

    /// What went wrong.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether another attempt at the same address must end the same way, until someone changes a certificate or an option.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.failure != Failure::Broken
    }
}

/// Gives the error of an established TLS stream its class, if it has one.
#[must_use]
pub fn classified(error: io::Error) -> io::Error {
    if rustls_error(&error).is_none() {
        return error;
    }
    io::Error::new(error.kind(), TlsError::from_io(error))
}

fn rustls_error(error: &io::Error) -> Option<&RustlsError> {
    error.get_ref()?.downcast_ref()
}

fn roots_from(path: &Path) -> Result<RootCertStore, MaterialError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA_FILE, path)? {
        roots
            .add(certificate)
            .map_err(|error| MaterialError::new(CA_FILE, path, format!("not a usable authority: {error}")))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, MaterialError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let cause = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let problem = format!("not set, and the system has no trusted authorities{cause}");
        return Err(MaterialError { option: CA_FILE, path: None, problem });
    }
    Ok(roots)
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let failed = |error| MaterialError::new(option, path, pem_problem(error));
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if chain.is_empty() {
        return Err(MaterialError::new(option, path, "no certificate in PEM form in it"));
    }
    Ok(chain)
}

fn private_key(option: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound if option == CERT_FILE => {
            MaterialError::new(option, path, format!("no private key in it, and {KEY_FILE} is not set"))
        }
        pem::Error::NoItemsFound => {
            MaterialError::new(option, path, "no private key in PEM form in it (encrypted keys are not supported)")
        }
        error => MaterialError::new(option, path, pem_problem(error)),
    })
}

/// Not the library's own words: those quote the file, which may hold a key.
fn pem_problem(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        _ => "not PEM".to_owned(),
    }
}
