//! TLS of the API, with certificates made here; and the refusal to listen on the network without asking for keys.

use std::time::Duration;

use leveret::config::{Authentication, Outgoing};
use leveret::handlers::Handlers;
use leveret::outgoing::{Client, Request, SendError};
use leveret::roles::Role;
use leveret::server::Server;
use leveret::time::clock::Clock;

use crate::links::certificates::{Authority, Valid};
use crate::support::{CommandLine, Fresh, InProcess};

fn client(ca_file: String) -> Client {
    let allow_addresses = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    Client::new(&Outgoing { ca_file, allow_addresses, ..Outgoing::default() }, Clock::default()).unwrap()
}

async fn get(client: &Client, url: String) -> Result<(u16, Option<String>), SendError> {
    let timeout = Some(Duration::from_secs(10));
    let request = Request { method: "GET".into(), url, headers: vec![], body: None, timeout, response_max: 65_536 };
    let response = client.send(request).await?;
    Ok((response.status, response.headers.get("strict-transport-security").cloned()))
}

#[tokio::test]
async fn the_api_speaks_tls_with_its_certificate_and_nothing_else() {
    let (fresh, authority) = (Fresh::new().await, Authority::new());
    let certified = authority.server("localhost", Valid::Today);
    let mut config = InProcess::config(&fresh);
    config.access.authentication = Authentication::Required;
    config.http.cert_file = authority.file("api.crt", &certified.certificate);
    config.http.key_file = authority.file("api.key", &certified.key);
    let server = Server::start(config, Handlers::new(), &[Role::Api]).await.unwrap();
    let port = server.address.unwrap().port();
    let trusting = client(authority.own_file());
    let (status, only_tls) = get(&trusting, format!("https://localhost:{port}/livez")).await.unwrap();
    assert_eq!((status, only_tls.as_deref()), (200, Some("max-age=31536000")));
    assert_eq!(get(&trusting, format!("https://localhost:{port}/api/v1/instances")).await.unwrap().0, 401);
    let stranger = Authority::new();
    let refused = get(&client(stranger.own_file()), format!("https://localhost:{port}/livez")).await.unwrap_err();
    assert!(matches!(&refused, SendError::NotSent { code, .. } if code == "http.connect.tls"), "{refused:?}");
    assert!(get(&trusting, format!("http://localhost:{port}/livez")).await.is_err(), "without TLS there is no answer");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let (fresh, authority) = (Fresh::database().await, Authority::new());
    let line = CommandLine::on(&fresh)
        .with("LEVERET_HTTP__LISTEN", "127.0.0.1:0")
        .with("LEVERET_HTTP__CERT_FILE", &authority.own_file())
        .with("LEVERET_HTTP__KEY_FILE", "/nonexistent/api.key");
    let said = line.say("serve --roles api").await.failed();
    assert!(said.contains("/nonexistent/api.key cannot be used"), "{said}");
}

#[tokio::test]
async fn without_keys_the_network_is_not_listened_on_unless_it_is_said() {
    let fresh = Fresh::database().await;
    let open = || CommandLine::on(&fresh).with("LEVERET_HTTP__LISTEN", "0.0.0.0:0");
    for command in ["serve", "config show"] {
        let said = open().say(command).await.failed();
        for named in ["`http.listen`", "`access.authentication`", "`access.open_on_network`"] {
            assert!(said.contains(named), "{command}: {said}");
        }
    }
    let shown = open().with("LEVERET_ACCESS__AUTHENTICATION", "required").json("config show").await;
    assert_eq!(shown["access"]["authentication"], "required");
    assert_eq!(
        open().with("LEVERET_ACCESS__OPEN_ON_NETWORK", "true").json("config show").await["access"]["open_on_network"],
        true
    );
    // A program with settings of its own is refused as well.
    let mut config = InProcess::config(&fresh);
    config.http.listen = "0.0.0.0:0".into();
    let refused = Server::start(config, Handlers::new(), &[Role::Api]).await.err().expect("it is refused");
    assert!(refused.to_string().contains("`access.open_on_network`"), "{refused}");
}

#[tokio::test]
async fn the_doctor_says_who_can_use_the_api() {
    let fresh = Fresh::new().await;
    let finding = async |line: CommandLine| {
        let ran = line.say("doctor -o json").await;
        let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let found = all.as_array().unwrap().iter().find(|one| one["what"] == "access").cloned();
        let found = found.unwrap_or_else(|| panic!("{all}"));
        (found["good"].as_bool().unwrap(), found["says"].as_str().unwrap().to_owned())
    };
    let (good, says) = finding(CommandLine::on(&fresh)).await;
    assert!(good && says.contains("every program on this machine"), "{says}");
    let asked = || CommandLine::on(&fresh).with("LEVERET_ACCESS__AUTHENTICATION", "required");
    let (good, says) = finding(asked()).await;
    assert!(!good && says.contains("leveret key create"), "{says}");
    asked().say("key create ann --role admin").await.good();
    let (good, says) = finding(asked()).await;
    assert!(good && says.contains("1 key can be used"), "{says}");
    let network = asked().with("LEVERET_HTTP__LISTEN", "0.0.0.0:8420");
    let (good, says) = finding(network).await;
    assert!(good && says.contains("warning") && says.contains("without TLS"), "{says}");
}
