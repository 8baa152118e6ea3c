//! TLS by the server itself: certificate and key from files, read again when they change and when the process is told (HUP).
//!
//! A certificate that can't be used is said with its reason: at start the server doesn't begin, later it goes on with the one
//! that it has. Connections that are open keep theirs. Not here: making or renewing certificates, which others do better.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::TlsFiles;
use crate::error::ProgramError;

/// How often the files are looked at: renewals come weeks before the end, and a look costs two system calls.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A certificate that ends this soon is worth a warning: renewals are due a month before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a file looked like: when it was written and how long it is.
type Seen = [Option<(SystemTime, u64)>; 2];

/// See the module.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Seen>,
    ends: Mutex<i64>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    ends: i64,
}

fn wrong(file: &Path, what: impl Into<String>) -> ProgramError {
    ProgramError::Tls { path: file.to_owned(), what: what.into() }
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn load(files: &TlsFiles, now: i64) -> Result<Loaded, ProgramError> {
    let TlsFiles { certificate, key } = files;
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong(certificate, error.to_string()))?;
    let first = chain.first().ok_or_else(|| wrong(certificate, "holds no certificate in PEM form"))?;
    let (_, parsed) = X509Certificate::from_der(first).map_err(|error| wrong(certificate, error.to_string()))?;
    let (begins, ends) = (parsed.validity().not_before, parsed.validity().not_after);
    if ends.timestamp() < now {
        return Err(wrong(certificate, format!("this certificate ended on {ends}; renew it")));
    }
    if begins.timestamp() > now {
        return Err(wrong(certificate, format!("this certificate begins on {begins}; see that the clock is right")));
    }
    let ends = ends.timestamp();
    if ends - now < i64::try_from(SOON.as_secs()).unwrap_or(0) {
        tracing::warn!(days = (ends - now) / 86_400, "the certificate ends soon; renew it");
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => wrong(key, "holds no private key in PEM form"),
        other => wrong(key, other.to_string()),
    })?;
    let provider = Arc::new(ring::default_provider());
    let certified = CertifiedKey::from_der(chain, secret, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(key, format!("this key does not belong to the certificate in {}", certificate.display()))
        }
        other => wrong(key, other.to_string()),
    })?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(certificate, error.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // WebSockets are upgraded from HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), ends })
}

fn look(files: &TlsFiles) -> Seen {
    [&files.certificate, &files.key].map(|file| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ProgramError::Tls`] when they can't be read, don't fit together, or aren't valid now.
    pub fn open(files: TlsFiles) -> Result<Self, ProgramError> {
        let seen = look(&files);
        let Loaded { config, ends } = load(&files, now_seconds())?;
        Ok(Self { files, config: RwLock::new(config), seen: Mutex::new(seen), ends: Mutex::new(ends) })
    }

    /// What new connections are met with.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// When the certificate ends, in seconds since 1970.
    #[must_use]
    pub fn ends(&self) -> i64 {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again; when they can't be used, that is said in the log and what was there stays.
    pub fn reload(&self) {
        let seen = look(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        match load(&self.files, now_seconds()) {
            Ok(Loaded { config, ends }) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
                tracing::info!("the certificate was read again");
            }
            Err(error) => tracing::error!(error = error.line(), "the certificate stays the one from before"),
        }
    }

    /// Reads the files again if one of them changed since the last time. Half a renewal (a new certificate with the old key)
    /// is said and comes right with the other file.
    pub fn reload_if_changed(&self) {
        let changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != look(&self.files);
        if changed {
            self.reload();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn write(folder: &Path) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(["wijk.example".to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn refusal(files: &TlsFiles, now: i64) -> String {
        load(files, now).err().expect("is refused").line()
    }

    #[test]
    fn a_certificate_that_can_not_be_used_is_said_with_its_reason() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, others) = (write(folder.path()), write(other.path()));
        let now = now_seconds();
        let ends = load(&files, now).unwrap().ends;
        assert!(refusal(&files, ends + DAY).contains("this certificate ended on"));
        assert!(refusal(&files, 0).contains("this certificate begins on"));
        let swapped = TlsFiles { key: others.key.clone(), ..files.clone() };
        let line = refusal(&swapped, now);
        assert!(line.contains("does not belong to the certificate") && line.contains("k.pem"), "{line}");
        let reversed = TlsFiles { certificate: files.key.clone(), key: files.certificate.clone() };
        assert!(refusal(&reversed, now).contains("holds no certificate"), "{}", refusal(&reversed, now));
        let keyless = TlsFiles { key: files.certificate.clone(), ..files.clone() };
        assert!(refusal(&keyless, now).contains("holds no private key"));
        let missing = TlsFiles { certificate: folder.path().join("nowhere.pem"), ..files };
        assert!(refusal(&missing, now).contains("nowhere.pem"));
    }

    #[test]
    fn files_that_change_are_read_again_and_bad_ones_leave_what_was_there() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, others) = (write(folder.path()), write(other.path()));
        let tls = Tls::open(files.clone()).unwrap();
        let config = || Arc::clone(tls.acceptor().config());
        let first = config();
        tls.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &config()), "nothing changed");
        // Half of a renewal: longer, so that it is seen whatever the clock of the file system.
        let renewed = std::fs::read_to_string(&others.certificate).unwrap() + "\n";
        std::fs::write(&files.certificate, renewed).unwrap();
        tls.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &config()), "the key doesn't fit yet");
        let key = std::fs::read_to_string(&others.key).unwrap() + "\n";
        std::fs::write(&files.key, key).unwrap();
        tls.reload_if_changed();
        assert!(!Arc::ptr_eq(&first, &config()), "both are there now");
    }
}
