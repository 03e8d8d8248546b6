//! Signatures as Standard Webhooks 1.0 want them: HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

use crate::{AttemptError, BuildError, Secret, SecretSource};

const PREFIX: &str = "whsec_";

/// Signs with each of some keys.
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signer({} keys)", self.0.len())
    }
}

impl Signer {
    /// Reads the keys.
    pub(super) fn read(secrets: &[SecretSource]) -> Result<Self, BuildError> {
        let key = |source: &SecretSource| {
            let secret = Secret::read(source)?;
            let key = secret.reveal().strip_prefix(PREFIX);
            let key = key.and_then(|key| STANDARD.decode(key).ok());
            key.filter(|key| (24..=64).contains(&key.len()))
                .and_then(|key| Hmac::new_from_slice(&key).ok())
                .ok_or_else(|| {
                    let expected = "expected whsec_ and 24 to 64 bytes in base64";
                    let place = match source {
                        SecretSource::File(path) => path.display().to_string(),
                        SecretSource::Env(name) => name.clone(),
                    };
                    BuildError::Client(format!("{place} holds no key for signatures: {expected}"))
                })
        };
        Ok(Self(secrets.iter().map(key).collect::<Result<_, _>>()?))
    }

    /// Adds id, time and signatures to the headers of a request.
    pub(super) fn sign(
        &self,
        id: &str,
        timestamp: u64,
        body: &str,
        headers: &mut HeaderMap,
    ) -> Result<(), AttemptError> {
        let value = |text: String| {
            HeaderValue::try_from(text).map_err(|error| AttemptError::new(error.to_string()))
        };
        headers.insert("webhook-id", value(id.to_owned())?);
        headers.insert("webhook-timestamp", value(timestamp.to_string())?);
        if self.0.is_empty() {
            return Ok(());
        }
        let signatures = self.0.iter().map(|key| {
            let mut key = key.clone();
            key.update(format!("{id}.{timestamp}.").as_bytes());
            key.update(body.as_bytes());
            format!("v1,{}", STANDARD.encode(key.finalize().into_bytes()))
        });
        let signatures: Vec<String> = signatures.collect();
        headers.insert("webhook-signature", value(signatures.join(" "))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_reference_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signer = Signer::read(&[SecretSource::File(path)]).unwrap();
        let mut headers = HeaderMap::new();
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        signer.sign(id, 1_614_265_330, body, &mut headers).unwrap();
        assert_eq!(
            headers["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn a_key_that_is_none_is_an_error_that_names_its_place_and_not_the_key() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in [
            "whsec_c2hvcnQ=",
            "whsec_%%%",
            "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
        ] {
            let path = folder.path().join("secret");
            std::fs::write(&path, wrong).unwrap();
            let error = Signer::read(&[SecretSource::File(path)])
                .unwrap_err()
                .to_string();
            assert!(error.contains("secret holds no key"), "{error}");
            assert!(!error.contains(wrong), "{error}");
        }
    }
}
