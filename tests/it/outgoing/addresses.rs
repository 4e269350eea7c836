//! Which servers are asked: private addresses, redirects, proxies, certificates.

use super::{client, get, not_sent, send, settings};
use crate::support::target::{Authority, Play, Target};
use leveret::config::Outgoing;
use leveret::outgoing::{Request, SendError};

#[tokio::test]
async fn a_private_address_is_refused_in_every_notation() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let port = target.address.port();
    for host in
        ["127.0.0.1", "2130706433", "0x7f000001", "0177.1", "localhost", "[::ffff:127.0.0.1]", "0", "%6cocalhost"]
    {
        let sent = client(&Outgoing::default()).send(get(format!("http://{host}:{port}/"))).await;
        assert_eq!(not_sent(sent), "http.refused", "{host}");
    }
    assert_eq!(target.connections(), 0);
    send(get(format!("http://localhost:{port}/"))).await.unwrap();
}

#[tokio::test]
async fn the_loopback_of_ipv6_is_asked_if_it_is_listed() {
    let target = Target::on("[::1]:0", None, |_| Play::ok("{}")).await;
    let url = format!("http://[::1]:{}/", target.address.port());
    for (listed, expected) in [("127.0.0.0/8", None), ("::1", Some(200))] {
        let client = client(&Outgoing { allow_addresses: vec![listed.parse().unwrap()], ..settings() });
        let sent = client.send(get(url.clone())).await;
        assert_eq!(sent.map(|response| response.status).ok(), expected, "{listed}");
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn only_listed_hosts_are_asked() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let port = target.address.port();
    let listed = client(&Outgoing { allow_hosts: vec![format!("localhost:{port}")], ..settings() });
    assert_eq!(not_sent(listed.send(get(target.url("/"))).await), "http.refused");
    listed.send(get(format!("http://LOCALHOST:{port}/"))).await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_a_response_unless_redirects_are_followed() {
    let target = Target::playing(|_| Play::redirect(302, "/again")).await;
    let response = send(get(target.url("/"))).await.unwrap();
    assert_eq!((response.status, response.headers["location"].as_str(), target.asked().len()), (302, "/again", 1));
    let following = client(&Outgoing { redirects_max: 3, ..settings() });
    let response = following.send(get(target.url("/"))).await.unwrap();
    // A circle is followed as often as is allowed; the last redirect is the response.
    assert_eq!((response.status, target.asked().len()), (302, 5));
}

#[tokio::test]
async fn a_redirect_carries_no_secrets_to_another_server() {
    let end = Target::playing(|_| Play::ok("{}")).await;
    let to = end.url("/end");
    let begin = Target::playing(move |_| Play::redirect(303, to.clone())).await;
    let headers = ["authorization", "x-api-key", "cookie"].map(|name| (name.to_owned(), "CANARY".to_owned()));
    let request = Request {
        method: "POST".into(),
        headers: headers.into(),
        body: Some(b"CANARY".to_vec()),
        ..get(begin.url("/"))
    };
    let response = client(&Outgoing { redirects_max: 1, ..settings() }).send(request).await.unwrap();
    assert_eq!(response.status, 200);
    let asked = &end.asked()[0];
    assert_eq!((asked.line.as_str(), asked.body.is_empty()), ("GET /end HTTP/1.1", true));
    assert!(!format!("{asked:?}").contains("CANARY"), "{asked:?}");
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let hidden = Target::on("127.0.0.2:0", None, |_| Play::ok("{}")).await;
    let following = client(&Outgoing { redirects_max: 5, ..settings() });
    for to in
        [hidden.url("/"), format!("http://0x7f000002:{}/", hidden.address.port()), "http://169.254.169.254/".into()]
    {
        let begin = Target::playing(move |_| Play::redirect(302, to.clone())).await;
        let response = following.send(get(begin.url("/"))).await.unwrap();
        assert_eq!(response.status, 302);
        assert!(response.redirect_refused.unwrap().contains("outgoing.allow_addresses"));
    }
    assert_eq!(hidden.connections(), 0);
}

#[tokio::test]
async fn a_failure_after_a_redirect_is_unknown() {
    let gone = Target::playing(|_| Play::ok("{}")).await.url("/");
    let begin = Target::playing(move |_| Play::redirect(307, gone.clone())).await;
    let sent = client(&Outgoing { redirects_max: 1, ..settings() }).send(get(begin.url("/"))).await;
    assert!(matches!(sent, Err(SendError::Unknown { .. })), "{sent:?}");
}

#[tokio::test]
async fn all_requests_go_through_the_configured_proxy() {
    let proxy = Target::playing(|_| Play::ok("\"from the proxy\"")).await;
    let through = Outgoing { proxy: format!("http://ann:p%40ss@{}", proxy.address), ..settings() };
    let through = client(&Outgoing { allow_addresses: vec!["127.0.0.3".parse().unwrap()], ..through });
    let response = through.send(get("http://127.0.0.3:9/x?y=z")).await.unwrap();
    assert_eq!(&response.body[..], b"\"from the proxy\"");
    let asked = &proxy.asked()[0];
    assert_eq!(asked.line, "GET http://127.0.0.3:9/x?y=z HTTP/1.1");
    assert_eq!(asked.header("proxy-authorization"), Some("Basic YW5uOnBAc3M="));
    // The proxy may have any address; the servers asked through it may not.
    assert_eq!(not_sent(through.send(get("http://127.0.0.1:9/")).await), "http.refused");
    assert_eq!(not_sent(through.send(get("http://localhost:9/")).await), "http.refused");
    // It answers CONNECT with 200, and then does not speak TLS.
    assert_eq!(not_sent(through.send(get("https://127.0.0.3:9/")).await), "http.connect.tls");
    let asked = proxy.asked();
    assert_eq!((asked.len(), asked[1].line.as_str()), (2, "CONNECT 127.0.0.3:9 HTTP/1.1"));
    assert_eq!(asked[1].header("proxy-authorization"), Some("Basic YW5uOnBAc3M="));
}

#[tokio::test]
async fn a_request_whose_tunnel_the_proxy_refuses_was_not_sent() {
    let proxy = Target::playing(|_| Play::status(403)).await;
    let through = client(&Outgoing { proxy: format!("http://{}", proxy.address), ..settings() });
    assert_eq!(not_sent(through.send(get("https://127.0.0.1:9/")).await), "http.connect");
}

#[tokio::test]
async fn only_certificates_of_trusted_authorities_are_accepted() {
    let authority = Authority::vouching_for("localhost", &["http/1.1"]);
    let target = Target::on("127.0.0.1:0", Some(authority.acceptor.clone()), |_| Play::ok("{}")).await;
    let url = format!("https://localhost:{}/", target.address.port());
    assert_eq!(not_sent(send(get(url.clone())).await), "http.connect.tls");
    let trusting = client(&Outgoing { ca_file: authority.file.path(), ..settings() });
    assert_eq!(trusting.send(get(url)).await.unwrap().status, 200);
    // The certificate is for another name.
    assert_eq!(not_sent(trusting.send(get(format!("https://{}/", target.address))).await), "http.connect.tls");
    assert_eq!(target.asked().len(), 1);
}

#[tokio::test]
async fn http_2_is_used_where_the_server_offers_it() {
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let authority = Authority::vouching_for("127.0.0.1", &["h2", "http/1.1"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = authority.acceptor.clone();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        // It accepts one connection only.
        let socket = listener.accept().await.unwrap().0;
        let socket = TokioIo::new(acceptor.accept(socket).await.unwrap());
        let answer = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
            let said = format!("{:?} {}", request.version(), request.uri().path());
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::<bytes::Bytes>::from(said)))
        });
        drop(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(socket, answer).await);
    });
    let client = client(&Outgoing { ca_file: authority.file.path(), ..settings() });
    client.send(get(format!("https://{address}/one"))).await.unwrap();
    let (two, three) = tokio::join!(
        client.send(get(format!("https://{address}/two"))),
        client.send(get(format!("https://{address}/three")))
    );
    assert_eq!(&two.unwrap().body[..], b"HTTP/2.0 /two");
    assert_eq!(&three.unwrap().body[..], b"HTTP/2.0 /three");
}

#[test]
fn an_unusable_certificate_file_is_an_error_at_the_start() {
    let none = crate::support::target::tempfile::File::with("nothing");
    for file in ["/nowhere/ca.pem".to_owned(), none.path()] {
        let client = leveret::outgoing::Client::new(
            &Outgoing { ca_file: file, ..settings() },
            leveret::time::clock::Clock::default(),
        );
        assert!(client.is_err_and(|why| why.contains("outgoing.ca_file")));
    }
    let wrong = leveret::outgoing::Client::new(
        &Outgoing { proxy: "socks5://u:CANARY@h:1".into(), ..settings() },
        leveret::time::clock::Clock::default(),
    );
    assert!(wrong.is_err_and(|why| why.contains("outgoing.proxy") && !why.contains("CANARY")));
}
