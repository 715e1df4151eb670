//! Valid and invalid certificates for brokers behind TLS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::builder::TlsMaterial;

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid now, and for longer than any test takes.
    Current,
    /// Expired: valid in the year 2001 only.
    Expired,
}

/// A certificate authority that belongs to one test.
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
    /// Creates an authority.
    ///
    /// # Panics
    ///
    /// When its certificate cannot be written into a temporary folder.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Distinct names: a certificate whose issuer equals its subject counts as self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("cannot generate a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("cannot sign");
        let folder = tempfile::Builder::new().prefix("oxlo-ca-").tempdir().expect("cannot create a folder");
        let this = Self { issuer, folder };
        fs::write(this.file(), this.issuer.pem()).expect("cannot write ca.pem");
        this
    }

    /// The file with the authority's certificate, as PEM. It is deleted when the authority is dropped.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        Path::join(self.folder.path(), "ca.pem")
    }

    /// A certificate for `name` signed by this authority, with its key. Clients are not asked for certificates.
    ///
    /// # Panics
    ///
    /// When `name` is not a host name.
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
