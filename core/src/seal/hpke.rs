//! A thin layer over the library for HPKE (RFC 9180): our one suite, one message at a time, randomness given.
//!
//! Base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. Sealed bytes are the encapsulated key and
//! then the ciphertext with its checksum. `core/tests/rfc9180.rs` holds this against the vectors of the RFC. Not here: what
//! is sealed for whom, or how it is padded.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use zeroize::Zeroize;

use super::SealError;
use crate::hash::tagged;

/// How a secret is shared with a public key.
pub type Kem = hpke::kem::X25519HkdfSha256;
/// How keys follow from that secret.
pub type Kdf = hpke::kdf::HkdfSha256;
/// What encrypts and authenticates.
pub type Aead = hpke::aead::ChaCha20Poly1305;

/// Bytes of an encapsulated key: an X25519 public key.
pub const ENCAPSULATED_BYTES: usize = 32;
/// Bytes of the checksum of ChaCha20-Poly1305.
pub const TAG_BYTES: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD_BYTES: usize = ENCAPSULATED_BYTES + TAG_BYTES;

/// The ephemeral key material of one message, as a source of randomness that can be drawn from once.
///
/// The library feeds what it draws to `DeriveKeyPair` (RFC 9180, section 7.1.3), so these bytes are the RFC's `ikmE`.
pub struct Ephemeral(Option<[u8; 32]>);

impl Ephemeral {
    /// From exactly these bytes, which may serve for one message only. For the vectors of the RFC; we seal with
    /// [`Ephemeral::hedged`].
    #[must_use]
    pub fn new(material: [u8; 32]) -> Self {
        Self(Some(material))
    }

    /// From 32 random bytes and all that is sealed with them. Should the same bytes ever serve twice, for two members of one
    /// generation or after a phone was restored, two messages still share no key; equal ones only come out equal.
    #[must_use]
    pub fn hedged(mut entropy: [u8; 32], to: &[u8; 32], info: &[u8], aad: &[u8], plain: &[u8]) -> Self {
        let material = tagged("samenspraak/ephemeral/v1", 5, |w| {
            w.bytes(&entropy).bytes(to).bytes(info).bytes(aad).bytes(plain);
        });
        entropy.zeroize();
        Self::new(material)
    }
}

impl std::fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ephemeral(…)")
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl TryRng for Ephemeral {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        // Bytes given twice would be worse than stopping; the vectors of the RFC would notice another way of drawing first.
        let mut bytes = self.0.take().expect("one message draws one ephemeral key");
        into.copy_from_slice(&bytes);
        bytes.zeroize();
        Ok(())
    }
}

impl TryCryptoRng for Ephemeral {}

/// The public half of a secret key.
#[must_use]
pub fn public(secret: &[u8; 32]) -> [u8; 32] {
    Kem::sk_to_pk(&private_key(secret)).to_bytes().into()
}

/// Seals one message (RFC 9180, section 6.1, `SealBase`): the encapsulated key, then the ciphertext.
///
/// # Errors
/// [`SealError::WeakKey`] when the public key is one of the few of low order.
pub fn seal(
    to: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    mut entropy: Ephemeral,
) -> Result<Vec<u8>, SealError> {
    let to = <Kem as hpke::Kem>::PublicKey::from_bytes(to).expect("any 32 bytes are an X25519 public key");
    let (encapsulated, mut context) = setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &to, info, &mut entropy)
        .map_err(|_| SealError::WeakKey)?;
    let ciphertext = context.seal(plain, aad).expect("the first message of a context, far shorter than 256 GiB");
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend(ciphertext);
    Ok(sealed)
}

/// Opens what [`seal`] made (RFC 9180, section 6.1, `OpenBase`).
///
/// # Errors
/// [`SealError::Closed`] for anything else, however short.
pub fn open(secret: &[u8; 32], info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(SealError::Closed)?;
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Closed)?;
    let mut context = setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &private_key(secret), &encapsulated, info)
        .map_err(|_| SealError::Closed)?;
    context.open(ciphertext, aad).map_err(|_| SealError::Closed)
}

fn private_key(secret: &[u8; 32]) -> <Kem as hpke::Kem>::PrivateKey {
    Deserializable::from_bytes(secret).expect("any 32 bytes are an X25519 private key")
}
