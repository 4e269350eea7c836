//! Reaches a node: name, addresses, TCP, TLS. By hand, because the client library ignores its time limit, checks certificates by
//! those of the machine only, and does not say what was wrong.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::address::Node;
use super::error::Error;
use super::wire::socket::Stream;
use crate::link::trust::{self, Encrypted};

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

/// Connects to a node; each of its addresses gets its share of the time.
pub(super) async fn reach(node: &Node, limit: Duration) -> Result<Box<dyn Stream>, Error> {
    let found = lookup_host((node.host(), node.port())).await;
    let found: Vec<SocketAddr> = found.map_err(|error| away(format!("the name is not known: {error}")))?.collect();
    let tried = &found[..found.len().min(ADDRESSES_MAX)];
    let share = limit / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut last = away("the name has no address".into());
    for address in tried {
        match timeout(share, open(node, *address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = away("it did not answer".into()),
        }
    }
    Err(last)
}

fn away(why: String) -> Error {
    Error::Unavailable(why)
}

async fn open(node: &Node, address: SocketAddr) -> Result<Box<dyn Stream>, Error> {
    let tcp = TcpStream::connect(address).await.map_err(|error| explain(&error))?;
    // Small frames are not held back; without the option they are only slower.
    drop(tcp.set_nodelay(true));
    let Some(trust) = &node.trust else { return Ok(Box::new(tcp.compat())) };
    let config = trust.client_config(&Encrypted::default()).map_err(away)?;
    let name = ServerName::try_from(node.host().to_owned()).map_err(|error| away(error.to_string()))?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| explain(&error))?;
    Ok(Box::new(tls.compat()))
}

/// The sentence about a failed connection.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(text) = trust::explain(error, "broker") {
        return away(text);
    }
    let is_cut = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    away(if is_cut {
        format!("it closed the connection ({error}): is TLS spoken on this port?")
    } else {
        error.to_string()
    })
}
