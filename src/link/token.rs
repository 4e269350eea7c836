//! Random tokens that prove who somebody is: API keys and sessions. They are compared and stored as hashes only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// Bytes of chance in a token. It cannot be guessed, so that a fast hash is enough to store it by.
const RANDOM_BYTES: usize = 32;
/// Characters of a token after its prefix.
const WRITTEN: usize = 43;
/// Characters after the prefix that may be shown, to tell tokens apart.
const SHOWN: usize = 4;

/// A new token.
///
/// # Errors
/// A sentence, if the system has no randomness.
pub fn new(prefix: &str) -> Result<String, String> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the operating system gives no random numbers".to_owned())?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether a text has the form of a token: others need not be looked for.
pub fn has_form(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == WRITTEN && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    })
}

/// What a token is stored and looked for by.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The beginning of a token, which may be shown.
pub fn hint(token: &str, prefix: &str) -> String {
    token.chars().take(prefix.len() + SHOWN).collect()
}

/// A second token that only the holder of the first can compute, and from which the first cannot be computed.
pub fn derived(token: &str, purpose: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{purpose}\n{token}")))
}

/// Compares without telling by the time it takes how much is equal.
pub fn is_equal(one: &str, other: &str) -> bool {
    // Hashes of what is compared: what their bytes have in common says nothing about the texts.
    hash(one) == hash(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_have_their_form() {
        let (one, other) = (new("lv_").unwrap(), new("lv_").unwrap());
        assert_ne!(one, other);
        assert!(has_form(&one, "lv_") && !has_form(&one, "ls_"));
        assert!(one.starts_with(&hint(&one, "lv_")) && hint(&one, "lv_").len() == 7);
        assert_ne!((hash(&one), derived(&one, "a")), (hash(&other), derived(&other, "a")));
        assert_ne!(derived(&one, "a"), derived(&one, "b"));
        assert!(is_equal(&one, &one) && !is_equal(&one, &other));
    }

    #[test]
    fn a_text_of_another_form_is_not_a_token() {
        let token = new("lv_").unwrap();
        for wrong in [
            "",
            "lv_",
            &token[..45],
            &format!("{token}x"),
            &token.replace("lv_", ""),
            &format!("lv_{}", "ä".repeat(43)),
        ] {
            assert!(!has_form(wrong, "lv_"), "{wrong}");
        }
    }
}
