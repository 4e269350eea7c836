//! TLS to RabbitMQ beneath the sieve, client certificates as logins, and its password from a file.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use leveret::broker::{Broker, Options, Topology};
use leveret::sandbox::RabbitMq;
use leveret::time::clock::Clock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::certificates::{Authority, Certified, Valid};
use super::finding;
use crate::support::broker::{connect, next, publish, queue, step};
use crate::support::{CommandLine, Fresh, Private, eventually};

/// A connection is opened, or refused, within this.
const DECIDED_WITHIN: Duration = Duration::from_secs(20);

/// A RabbitMQ that speaks TLS on a second port, takes client certificates, and lets them log in.
struct Secured {
    servers: Private,
    authority: Authority,
    port: u16,
    /// Of the user of the sandbox.
    password: String,
}

impl Secured {
    fn start() -> Self {
        let (servers, authority) = (Private::start(), Authority::new());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let login = leveret::link::address::Parts::read(&servers.amqp_url).unwrap().login.unwrap();
        let password = login.split_once(':').unwrap().1.to_owned();
        let this = Self { servers, authority, port, password };
        let node = this.node();
        let ca = node.write("ca.pem", &this.authority.certificate).unwrap();
        let (certificate, key) = this.shows(&this.authority.server("127.0.0.1", Valid::Today));
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {certificate}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n\
             ssl_cert_login_from = common_name\nauth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n",
            ca.display()
        );
        node.configure(&settings, &["rabbitmq_auth_mechanism_ssl"]).unwrap();
        node.stop().unwrap();
        node.start().unwrap();
        this
    }

    fn node(&self) -> RabbitMq {
        self.servers.rabbitmq().unwrap()
    }

    /// Shows this certificate from the next connection on; its files.
    fn shows(&self, server: &Certified) -> (String, String) {
        let write = |name, text: &str| self.node().write(name, text).unwrap();
        let text = |path: &Path| path.display().to_string();
        (text(&write("server.pem", &server.certificate)), text(&write("server.key", &server.key)))
    }

    fn url(&self, login: &str, query: &str) -> String {
        format!("amqps://{login}@127.0.0.1:{}/%2f?{query}", self.port)
    }

    fn verified(&self) -> String {
        format!("cacertfile={}", self.authority.own_file())
    }

    fn certified(&self, client: &Certified) -> String {
        let certificate = self.authority.file("client.crt", &client.certificate);
        let key = self.authority.file("client.key", &client.key);
        format!("{}&certfile={certificate}&keyfile={key}", self.verified())
    }
}

/// Why a URL cannot be used.
async fn refused(url: &str) -> String {
    let options = Options {
        url: url.into(),
        prefix: "none".into(),
        publishers: 1,
        confirm_timeout: Duration::from_secs(5),
        name: "broker test".into(),
        topology: Topology::Found,
    };
    let (broker, supervisor) = Broker::start(options, Clock::default(), CancellationToken::new());
    let running = async {
        let told = eventually("it is told why", DECIDED_WITHIN, async || !broker.problems().is_empty());
        told.await;
        assert!(!broker.is_connected(), "it connected");
        let why = broker.problems().join("; ");
        broker.close().await;
        why
    };
    tokio::join!(supervisor, running).1
}

fn assert_says(why: &str, parts: &[&str]) {
    for part in parts {
        assert!(why.contains(part), "`{part}` is not in: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_reached_over_tls_and_nothing_else_is_taken_for_it() {
    let secured = Secured::start();
    let login = format!("leveret:{}", secured.password);
    let verified = secured.verified();
    secured.node().control(&["add_user", "certified", "unused"]).unwrap();
    secured.node().control(&["set_permissions", "certified", ".*", ".*", ".*"]).unwrap();

    // The right ones; a message larger than a frame of TLS passes the sieve, too.
    let client = secured.authority.client("certified");
    let external = format!("{}&auth_mechanism=external", secured.certified(&client));
    let body = "x".repeat(200_000);
    for url in [secured.url(&login, &verified), secured.url("", &external)] {
        let test = connect(&url).await;
        let mut deliveries = test.broker.consume(queue("a"), 10);
        publish(&test.broker, step("a", &body)).await;
        assert!(next(&mut deliveries).await.body == body.as_bytes());
        let link = test.broker.protection().unwrap();
        assert_eq!((link.place, link.check.is_some()), (format!("127.0.0.1:{}", secured.port), true));
        test.broker.close().await;
    }

    // The wrong ones.
    let by_name = secured.url(&login, &verified).replacen("127.0.0.1", "localhost", 1);
    assert_says(&refused(&by_name).await, &["localhost:", "not for `localhost` but for", "name the host"]);
    let stranger = Authority::new();
    let unknown = secured.url(&login, &format!("cacertfile={}", stranger.own_file()));
    assert_says(&refused(&unknown).await, &["not trusted", "`broker.ca_file`"]);
    let plain = secured.url(&login, "").replacen("amqps", "amqp", 1);
    assert_says(&refused(&plain).await, &[&format!("127.0.0.1:{}: ", secured.port)]);
    let wrong_port = secured.servers.amqp_url.replacen("amqp:", "amqps:", 1) + "?" + &verified;
    assert_says(&refused(&wrong_port).await, &["TLS"]);
    let foreign = format!("{}&auth_mechanism=external", secured.certified(&stranger.client("certified")));
    assert_says(&refused(&secured.url("", &foreign)).await, &["refuses our certificate", "`broker.cert_file`"]);
    let nobody = format!("{}&auth_mechanism=external", secured.certified(&secured.authority.client("nobody")));
    assert_says(&refused(&secured.url("", &nobody)).await, &["ACCESS_REFUSED"]);

    secured.shows(&secured.authority.server("127.0.0.1", Valid::UntilLastYear));
    secured.node().control(&["eval", "ssl:clear_pem_cache()."]).unwrap();
    assert_says(&refused(&secured.url(&login, &verified)).await, &["has expired: renew it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_name_files_and_a_changed_password_is_read() {
    let secured = Secured::start();
    let fresh = Fresh::database().await;
    let password = secured.authority.file("password", &format!("{}\n", secured.password));
    let command = CommandLine::on(&fresh)
        .with("AMQP_URL", &secured.url("leveret", ""))
        .with("AMQP_PASSWORD_FILE", &password)
        .with("LEVERET_BROKER__CA_FILE", &secured.authority.own_file());
    let said = finding(&command.say("doctor -o json").await, "broker link");
    assert_eq!(said, format!("127.0.0.1:{}, encrypted, certificate and host name verified", secured.port));

    let test = connect(&secured.url("leveret", &format!("{}&password_file={password}", secured.verified()))).await;
    secured.node().control(&["change_password", "leveret", "rotated"]).unwrap();
    secured.authority.file("password", "rotated");
    secured.node().control(&["close_all_connections", "rotated"]).unwrap();
    let publishing = timeout(DECIDED_WITHIN, publish(&test.broker, step("a", "with the new password")));
    publishing.await.expect("it connects with the new password");
    test.broker.close().await;
}
