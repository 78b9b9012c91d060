//! TLS by rustls. Certificate, key and client roots are read again when their files change; a handshake takes what
//! is there at that moment, and connections that are open go on.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use callsweep_core::settings::{TlsSettings, certificate_expiry};
use chrono::{DateTime, Utc};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

/// Why the files of `[api.tls]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not there, not readable, or no PEM.
    #[error("api.tls.{member}: {path} cannot be read: {reason}")]
    File {
        /// The setting.
        member: &'static str,
        /// Its value.
        path: String,
        /// What is wrong, without what it holds.
        reason: String,
    },
    /// PEM without a certificate.
    #[error("api.tls.{member}: {path} holds no certificate; it must be PEM, BEGIN CERTIFICATE")]
    NoCertificate {
        /// The setting.
        member: &'static str,
        /// Its value.
        path: String,
    },
    /// Certificate and key do not belong together, or rustls cannot use them.
    #[error("api.tls: certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// Client roots that rustls cannot use.
    #[error("api.tls.client_ca cannot be used: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}

/// The files of `[api.tls]`, and what was last read from them.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    identity: Arc<Identity>,
    clients: Option<Arc<Clients>>,
    /// The files as they were when they were last looked at, read or not.
    seen: Mutex<Vec<Option<Stamp>>>,
}

/// What changes when a file does.
type Stamp = (SystemTime, u64);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read or used.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let seen = Mutex::new(stamps(settings));
        let identity = Arc::new(Identity(ArcSwap::from_pointee(read_identity(settings)?)));
        let clients = settings.client_ca.as_deref().map(read_client_ca).transpose()?;
        let clients = clients.map(|verifier| Arc::new(Clients(ArcSwap::from_pointee(verifier))));
        Ok(Self { settings: settings.clone(), identity, clients, seen })
    }

    /// What the listener works with.
    ///
    /// # Errors
    /// rustls's.
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        }
        .with_cert_resolver(self.identity.clone());
        if self.clients.is_some() {
            // A session that is resumed is not verified again, so that a client whose root was taken away could go on.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Reads the files again: all of it is taken, or nothing.
    ///
    /// # Errors
    /// One cannot be read or used. What was there before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.settings);
        let identity = read_identity(&self.settings)?;
        if let (Some(clients), Some(path)) = (&self.clients, &self.settings.client_ca) {
            clients.0.store(Arc::new(read_client_ca(path)?));
        }
        self.identity.0.store(Arc::new(identity));
        Ok(())
    }

    /// When the server's certificate ends, as the file says.
    #[must_use]
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        certificate_expiry(&self.settings.cert)
    }

    /// Whether a file has changed since they were last read.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.settings)
    }
}

fn stamps(TlsSettings { cert, key, client_ca }: &TlsSettings) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    };
    [Some(cert), Some(key), client_ca.as_ref()].into_iter().flatten().map(|path| stamp(path)).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_identity(TlsSettings { cert, key, .. }: &TlsSettings) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("cert", cert)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|reason| unreadable("key", key, &reason))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

fn read_client_ca(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", path)? {
        roots.add(certificate)?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build()?)
}

fn certificates(member: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|reason| unreadable(member, path, &reason))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { member, path: path.display().to_string() });
    }
    Ok(certificates)
}

/// The library's own texts show lines of the file, which may be a part of the key.
fn unreadable(member: &'static str, path: &Path, reason: &pem::Error) -> TlsError {
    let reason = match reason {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::MissingSectionEnd { .. } => "a section of it has no END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line of it is malformed".to_owned(),
        pem::Error::Base64Decode(_) => "a section of it is not Base64".to_owned(),
        pem::Error::NoItemsFound => "it has no section of the kind that is needed".to_owned(),
        _ => "it is not PEM".to_owned(),
    };
    TlsError::File { member, path: path.display().to_string(), reason }
}

/// The server's certificate of the moment.
#[derive(Debug)]
struct Identity(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The client roots of the moment.
#[derive(Debug)]
struct Clients(ArcSwap<Arc<dyn ClientCertVerifier>>);

impl ClientCertVerifier for Clients {
    /// A hint for clients with several certificates, and no reference into what may be swapped.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}
