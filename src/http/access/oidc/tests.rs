//! Tokens that count, and every way in which one does not. The keys are made here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::contract::scope::Role;

/// A key of the issuer.
enum Signer {
    Elliptic(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    fn elliptic() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Elliptic(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
    }

    fn edwards() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Edwards(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Signer::Elliptic(_) => "ES256",
            Signer::Edwards(_) => "EdDSA",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Elliptic(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": written(x), "y": written(y) })
            }
            Signer::Edwards(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": written(pair.public_key().as_ref()) })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", written(header.to_string().as_bytes()), written(claims.to_string().as_bytes()));
        let signature = match self {
            Signer::Elliptic(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Signer::Edwards(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", written(&signature))
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" }), claims)
    }
}

fn written(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> i64 {
    Clock::default().now().as_second()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.org", "aud": ["other", "leveret"], "sub": "ann", "exp": now() + 300, "nbf": now() - 5,
        "groups": ["sales", "leveret-operators"], "realm_access": { "roles": ["leveret-operators"] },
    })
}

/// An issuer whose keys are in a file; the file is the caller's.
fn issuer(file: &std::path::Path) -> Issuer {
    let mut config = Config::default();
    config.oidc.issuer = "https://id.example.org".into();
    config.oidc.audience = "leveret".into();
    config.oidc.jwks = file.display().to_string();
    config.oidc.roles = [("leveret-operators", Role::Operator), ("boss", Role::Admin), ("sales", Role::Clerk)]
        .map(|(name, role)| (name.to_owned(), role))
        .into();
    Issuer::new(&config, Clock::default())
}

/// A file that is deleted with this.
struct File(std::path::PathBuf);

impl File {
    fn of(keys: &[Value]) -> Self {
        let path = std::env::temp_dir().join(format!("leveret-jwks-{}-{}", std::process::id(), fastrand::u64(..)));
        let file = Self(path);
        file.write(keys);
        file
    }

    fn write(&self, keys: &[Value]) {
        std::fs::write(&self.0, json!({ "keys": keys }).to_string()).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

async fn refused(issuer: &Issuer, token: &str) -> String {
    match issuer.caller(token).await {
        Err(Refusal::Token(why)) => why,
        Err(other) => other.word().to_owned(),
        Ok(caller) => panic!("{caller:?}"),
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_names_user_groups_and_role() {
    for signer in [Signer::elliptic(), Signer::edwards()] {
        let file = File::of(&[json!({ "kty": "unknown", "kid": "b" }), signer.jwk("a")]);
        let caller = issuer(&file.0).caller(&signer.token("a", &claims())).await.unwrap();
        assert_eq!((caller.name.as_str(), &caller.proven), ("ann", &Proven::Token));
        assert_eq!(caller.groups, ["sales", "leveret-operators"]);
        let scopes: Vec<Scope> = caller.scopes.iter().collect();
        assert_eq!(scopes, [Scope::Read, Scope::Start, Scope::Task, Scope::Operate], "of both roles");
        assert_eq!(caller.others, Others::Never);
        let mut boss = claims();
        boss["groups"] = json!("boss");
        let boss = issuer(&file.0).caller(&signer.token("a", &boss)).await.unwrap();
        assert!(boss.scopes.allow(Scope::Admin) && boss.others == Others::Allowed);
        let mut nobody = claims();
        nobody["groups"] = json!(["else"]);
        assert!(issuer(&file.0).caller(&signer.token("a", &nobody)).await.unwrap().scopes.is_empty());
    }
}

#[tokio::test]
async fn a_token_that_does_not_count_is_refused_with_its_reason() {
    let signer = Signer::elliptic();
    let file = File::of(&[signer.jwk("a"), json!({ "kty": "oct", "kid": "shared", "k": written(b"secret") })]);
    let issuer = issuer(&file.0);
    for (claim, value, why) in [
        ("exp", json!(now() - 31), "has expired"),
        ("exp", json!("soon"), "another type"),
        ("nbf", json!(now() + 60), "not valid yet"),
        ("nbf", json!("soon"), "another type"),
        ("iss", json!("https://id.example.org/"), "another issuer"),
        ("aud", json!("others"), "another audience"),
        ("aud", json!([]), "another audience"),
        ("sub", json!(7), "claim `sub`"),
        ("sub", json!(""), "claim `sub`"),
        ("sub", json!("x".repeat(201)), "claim `sub`"),
    ] {
        let mut claims = claims();
        claims[claim] = value.clone();
        let said = refused(&issuer, &signer.token("a", &claims)).await;
        assert!(said.contains(why), "{claim} {value}: {said}");
    }
    for claim in ["exp", "iss", "aud", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(claim);
        let said = refused(&issuer, &signer.token("a", &claims)).await;
        assert!(said.contains(&format!("`{claim}`")), "{claim}: {said}");
    }
    let good = signer.token("a", &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = Signer::elliptic().token("a", &claims());
    assert!(refused(&issuer, &other).await.contains("signature of the token is wrong"));
    assert!(refused(&issuer, &format!("{message}.")).await.contains("signature"));
    assert!(refused(&issuer, &format!("{message}.{}", &signature[..60])).await.contains("signature"));
    for broken in ["a.b.c", "..", &format!("{}.x.y", written(b"{}"))] {
        assert!(refused(&issuer, broken).await.contains("not a JWT"), "{broken}");
    }
}

#[tokio::test]
async fn only_algorithms_with_a_public_key_are_accepted() {
    let signer = Signer::elliptic();
    let file = File::of(&[signer.jwk("a"), json!({ "kty": "oct", "kid": "shared", "k": written(b"secret") })]);
    let issuer = issuer(&file.0);
    for (algorithm, id) in [("HS256", "a"), ("HS256", "shared"), ("HS512", "shared")] {
        let said = refused(&issuer, &signer.sign(&json!({ "alg": algorithm, "kid": id }), &claims())).await;
        assert!(said.contains("is not accepted"), "{said}");
    }
    for algorithm in ["none", "None", "", "ES256K"] {
        let said = refused(&issuer, &signer.sign(&json!({ "alg": algorithm, "kid": "a" }), &claims())).await;
        assert!(said.contains("not a JWT that can be read"), "{algorithm}: {said}");
    }
    // The algorithm of another kind of key.
    for algorithm in ["RS256", "PS256", "EdDSA"] {
        let said = refused(&issuer, &signer.sign(&json!({ "alg": algorithm, "kid": "a" }), &claims())).await;
        assert!(said.contains("does not publish for this algorithm"), "{algorithm}: {said}");
    }
    let said = refused(&issuer, &signer.sign(&json!({ "alg": "ES384", "kid": "a" }), &claims())).await;
    assert!(said.contains("signature"), "{said}");
}

#[tokio::test]
async fn without_a_key_id_the_only_key_that_fits_counts() {
    let (one, other) = (Signer::elliptic(), Signer::elliptic());
    let unnamed = one.sign(&json!({ "alg": "ES256" }), &claims());
    let file = File::of(&[one.jwk("a"), Signer::edwards().jwk("b")]);
    assert_eq!(issuer(&file.0).caller(&unnamed).await.unwrap().name, "ann");
    file.write(&[one.jwk("a"), other.jwk("b")]);
    assert!(refused(&issuer(&file.0), &unnamed).await.contains("does not publish"));
    let mut encrypts = one.jwk("a");
    encrypts["use"] = json!("enc");
    file.write(&[encrypts]);
    assert!(refused(&issuer(&file.0), &unnamed).await.contains("does not publish"));
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_read_but_not_for_every_token_that_names_one() {
    let (old, new) = (Signer::elliptic(), Signer::edwards());
    let file = File::of(&[old.jwk("old")]);
    let mut issuer = issuer(&file.0);
    assert_eq!(issuer.caller(&old.token("old", &claims())).await.unwrap().name, "ann");
    file.write(&[new.jwk("new")]);
    // Read a moment ago: an invented id must not make this process ask the issuer each time.
    assert!(refused(&issuer, &new.token("new", &claims())).await.contains("does not publish"));
    issuer.keys.at_most_every = std::time::Duration::ZERO;
    assert_eq!(issuer.caller(&new.token("new", &claims())).await.unwrap().name, "ann");
    assert!(refused(&issuer, &old.token("old", &claims())).await.contains("does not publish"));
    // The issuer is away: what it has published counts on.
    drop(file);
    assert!(refused(&issuer, &old.token("old", &claims())).await.contains("does not publish"));
    assert_eq!(issuer.caller(&new.token("new", &claims())).await.unwrap().name, "ann");
}

#[tokio::test]
async fn without_the_keys_of_the_issuer_nobody_can_say_who_it_is() {
    let signer = Signer::elliptic();
    let missing = issuer(std::path::Path::new("/nonexistent/jwks.json"));
    assert_eq!(refused(&missing, &signer.token("a", &claims())).await, "unanswered");
    let file = File::of(&[]);
    assert_eq!(refused(&issuer(&file.0), &signer.token("a", &claims())).await, "unanswered");
}

#[test]
fn a_claim_is_found_by_name_or_by_path() {
    let claims = claims();
    let claims = claims.as_object().unwrap();
    let found = |name: &str| texts(claim(claims, name)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(found("realm_access.roles"), ["leveret-operators"]);
    assert_eq!((found("sub"), found("exp"), found("a.b")), (vec!["ann".to_owned()], vec![], vec![]));
    let named = json!({ "https://id.example.org/roles": ["a"], "a.b": "c", "a": { "b": "d" } });
    let named = named.as_object().unwrap();
    assert_eq!(texts(claim(named, "https://id.example.org/roles")).collect::<Vec<_>>(), ["a"]);
    assert_eq!(texts(claim(named, "a.b")).collect::<Vec<_>>(), ["c"]);
}

/// Signed once, with a key of RSA that was then thrown away: ring makes none. The tokens expire in 2100.
mod rsa {
    /// The modulus.
    pub(super) const N: &str = "hsM8Eqv16stKnc99Sy1-ZWUroejdYMbPLldseQZ-EW4QQ6TQd9ZqxMf_YIRizxmdTMuq0hQlZwT98dVprcbpRjZKZX7rxHKYw3uRL2WQi5XCaecDboVZK1xoee7GgUgMSkCuVkxN-RnPrdB6kKRCBraSsIYzW795Zdw3b2o3aBK_edy7gpfCvlY5xH2ginN4dI13sImha2AxjDuXGTH_hzOML5rbkR7ZajdFOtEFrywDJinBUNP0i3fz3-CIPXOhL0epvTZ-ocrgBeiIgXGpd5BwusyFvY8TTXa_251vH-Fn6ilg0KxjGuULBeVjmFb1GktbzUpzbY5g4l6sjB9ZpQ";
    /// The tokens.
    pub(super) const TOKENS: [(&str, &str); 3] = [
        (
            "RS256",
            "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUub3JnIiwiYXVkIjoibGV2ZXJldCIsInN1YiI6ImFubiIsImV4cCI6NDEwMjQ0NDgwMCwiZ3JvdXBzIjpbInNhbGVzIl19.hOVxhZ5diZ0s-4E7gHJbJcLi0voPVm4KrJqTWcu6lQZMU1JOeDweCk6Luoo4xqP7avBDZTi4TBjAGlHDFrrFIHiUKRhPuwnLQu0b2vLaTkRw59b1h2UwZInyMPMu3mGZFXYfCRqYcuo0ZjO9fEPXgOn3-HaiqUlo4b7mSa4gNXdg9oVWg6By_v9FNoXRJzuSSyZtQSa6x734B-I3SFlKCZDl26hbidhokB8--o8nPplBz2vXX0zaVrUy-1EAJalcEUYLduKuQQqc-LcxfFUSeg3aEPQPQkQEPctsM9J6ZuiskLsfGfcnIS8d6NiN58f2kMbrpOS7rRbtXyeazoOKWA",
        ),
        (
            "PS256",
            "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUub3JnIiwiYXVkIjoibGV2ZXJldCIsInN1YiI6ImFubiIsImV4cCI6NDEwMjQ0NDgwMCwiZ3JvdXBzIjpbInNhbGVzIl19.CJEJh-uESL_Ona0-8ILv85jzaySqfReGbZFCK20tAd8DnpygsTbCPzFe6MCwvAFWd5wtowxf4DPdMoKNOlxOrLvm5itbKQhrFEC0-jod45cleh1ZPRgUZx1JA0Q0W-cRkeBWfwLuvue5nR9H-erY-_U-u0O1YxR7ZL0mRDxoJsVazMX4PGNLQSCMLTXn_FHGKl-2FYAyLZpSLW055aPpMaJdBu1NQhbVLln_SU-KMDUkgdTOBqqCepaVYhA52PRIEj8inC05lMbfPHEepDiSAkgiBJu4b3KH8g9tyY7cAwI9Fu7U3b9wz9at2f27eyDVznyNMM6c_oZEgmVyAAqK5w",
        ),
        (
            "RS512",
            "eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUub3JnIiwiYXVkIjoibGV2ZXJldCIsInN1YiI6ImFubiIsImV4cCI6NDEwMjQ0NDgwMCwiZ3JvdXBzIjpbInNhbGVzIl19.Ja1nc2WhRzH4St7PV7fqOc_V4rNwhr8nltgUCOtriyzsxZD0vDjLlMZXPgleQVwPtC7t5OAUXPOUNaLq8VcHyDoyzxcN52wFWH550anhxHKUEnn5K9Ocl7jLCx9kQd1cb9pYF8-d5ScsOhOJF-85BOBpy56fjWzD_8FJbhO4-pYMmIqUS7YcgNIEt_ixCCAj8WTprhx6cW1Ski58syBJhDG-Nh79U8eqdT9CZ4n5SmiU0OPp1_t5py3qIR667Sm3n56ZP189HaeXINfD8imb0XK4DE2jWwQwIss_k9on9Y2MEzXNrig8ZlggtS3EZDODxAE9zWmuvMbLCaWnOtyLEA",
        ),
    ];
}

#[tokio::test]
async fn signatures_of_rsa_are_checked() {
    let jwk = |n: &str| json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": "AQAB" });
    for (algorithm, token) in rsa::TOKENS {
        let file = File::of(&[jwk(rsa::N)]);
        assert_eq!(issuer(&file.0).caller(token).await.unwrap().name, "ann", "{algorithm}");
        let changed = token.replace(".eyJ", ".eyK");
        assert!(issuer(&file.0).caller(&changed).await.is_err());
        let mut stated = jwk(rsa::N);
        stated["alg"] = json!("RS384");
        file.write(&[stated]);
        assert!(refused(&issuer(&file.0), token).await.contains("does not publish for this algorithm"));
        // Some issuers write a zero before the modulus.
        let n = URL_SAFE_NO_PAD.encode([vec![0], URL_SAFE_NO_PAD.decode(rsa::N).unwrap()].concat());
        file.write(&[jwk(&n)]);
        assert_eq!(issuer(&file.0).caller(token).await.unwrap().name, "ann", "{algorithm}");
    }
}
