//! Tests that need a resolver of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::connect::{Connector, Resolver};
use super::guard::Guard;
use super::*;
use crate::config;
use crate::time::clock::Clock;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A client whose names resolve as `addresses` says for the host and the number of the lookup. Of this machine, only the
/// addresses in `allowed` may be reached.
fn client(allowed: &[&str], addresses: impl Fn(&str, usize) -> Vec<IpAddr> + Send + Sync + 'static) -> Client {
    let settings = config::Outgoing {
        allow_addresses: allowed.iter().map(|network| network.parse().unwrap()).collect(),
        idle_for: Duration::ZERO,
        idle_max: 0,
        redirects_max: 3,
        ..config::Outgoing::default()
    };
    let guard = Guard::new(&settings.allow_hosts, &settings.allow_addresses);
    let lookups = AtomicUsize::new(0);
    let script = Resolver::Script(Arc::new(move |host| addresses(host, lookups.fetch_add(1, Ordering::SeqCst))));
    let tls = trust::client_config("").unwrap();
    let connector = Connector::with_resolver(guard.clone(), tls, None, Duration::from_secs(5), script);
    Client::with_connector(&settings, Clock::default(), guard, None, connector)
}

/// A server on an address of this machine that always answers the same, and counts its connections.
async fn server(address: &str, answer: String) -> (u16, Arc<AtomicUsize>, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut read = [0; 4_096];
            drop(socket.read(&mut read).await);
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    (port, count, serving)
}

fn get(url: String) -> Request {
    let (method, headers, timeout) = ("GET".into(), vec![], Some(Duration::from_secs(20)));
    Request { method, url, headers, body: None, timeout, response_max: 100 }
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
}

fn code(sent: Result<Response, SendError>) -> String {
    match sent {
        Ok(response) => response.status.to_string(),
        Err(SendError::NotSent { code, .. } | SendError::Unknown { code, .. }) => code,
    }
}

#[tokio::test]
async fn a_rebound_name_is_checked_for_every_connection() {
    let (port, count, _serving) = server("127.0.0.1", ok()).await;
    let (_, hidden, _hiding) = server("127.0.0.2", ok()).await;
    let client =
        client(&["127.0.0.1"], |_, time| vec![if time == 0 { LOOPBACK } else { "127.0.0.2".parse().unwrap() }]);
    assert_eq!(code(client.send(get(format!("http://rebound.test:{port}/"))).await), "200");
    assert_eq!(code(client.send(get(format!("http://rebound.test:{port}/"))).await), "http.refused");
    assert_eq!((count.load(Ordering::SeqCst), hidden.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_only_allowed_ones_are_tried() {
    let (port, count, _serving) = server("127.0.0.1", ok()).await;
    let private = ["10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "100.64.0.1"];
    let list: Vec<IpAddr> = private.iter().map(|address| address.parse().unwrap()).collect();
    let all = list.clone();
    let refused = client(&[], move |_, _| all.clone());
    assert_eq!(code(refused.send(get(format!("http://many.test:{port}/"))).await), "http.refused");
    let mixed = client(&["127.0.0.1"], move |_, _| [list.clone(), vec![LOOPBACK]].concat());
    assert_eq!(code(mixed.send(get(format!("http://many.test:{port}/"))).await), "200");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_to_a_name_with_a_private_address_is_not_followed() {
    let (hidden_port, hidden, _hiding) = server("127.0.0.2", ok()).await;
    let to = format!(
        "HTTP/1.1 302 X\r\nlocation: http://inside.test:{hidden_port}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (port, _, _serving) = server("127.0.0.1", to).await;
    let client = client(&["127.0.0.1"], |host, _| {
        vec![if host == "inside.test" { "127.0.0.2".parse().unwrap() } else { LOOPBACK }]
    });
    let response = client.send(get(format!("http://outside.test:{port}/"))).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(response.redirect_refused.unwrap().contains("127.0.0.2"));
    assert_eq!(hidden.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_error() {
    let client = client(&[], |_, _| vec![]);
    assert_eq!(code(client.send(get("http://empty.test/".into())).await), "http.connect.dns");
}

#[test]
fn a_target_is_scheme_host_and_port() {
    assert_eq!(target("https://API.example.com/x?y").as_deref(), Some("https://api.example.com:443"));
    assert_eq!(target("http://[::1]:81/").as_deref(), Some("http://[::1]:81"));
    assert_eq!(target("http://0x7f.1/").as_deref(), Some("http://127.0.0.1:80"));
    assert_eq!(target("nothing"), None);
}
