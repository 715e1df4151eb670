//! Certificates for brokers behind TLS, right ones and wrong ones.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::builder::TlsMaterial;

/// When a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now, and for longer than any test takes.
    Current,
    /// In the year 2001.
    Expired,
}

/// A certificate authority of a test's own.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody else knows.
    ///
    /// # Panics
    ///
    /// When its certificate cannot be written into a temporary folder.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Names of its own: what is issued by its own subject counts as signed by itself.
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("cannot generate a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("cannot sign");
        let folder = tempfile::Builder::new().prefix("oxlo-ca-").tempdir().expect("cannot create a folder");
        let this = Self { issuer, folder };
        fs::write(this.file(), this.issuer.pem()).expect("cannot write ca.pem");
        this
    }

    /// The file with the authority's certificate, as PEM; it goes with the authority.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        Path::join(self.folder.path(), "ca.pem")
    }

    /// What a broker needs to present a certificate for `name` by this authority. Clients need none.
    ///
    /// # Panics
    ///
    /// When `name` is no host name.
    #[must_use]
    pub fn certify(&self, name: &str, validity: Validity) -> TlsMaterial {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a host name");
        params.distinguished_name.push(DnType::CommonName, name);
        if validity == Validity::Expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 12, 31);
        }
        let key = KeyPair::generate().expect("cannot generate a key");
        let cert = params.signed_by(&key, &self.issuer).expect("cannot sign").pem();
        TlsMaterial { ca: self.issuer.pem(), cert, key: key.serialize_pem(), require_client_cert: false }
    }
}
