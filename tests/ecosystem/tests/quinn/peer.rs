//! What the tests share: endpoints with a certificate, and an exchange.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, Runtime, ServerConfig,
    TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The configurations of a server and of a client that trusts it, with this idle timeout.
pub struct Peers {
    pub server: ServerConfig,
    pub client: ClientConfig,
}

impl Peers {
    pub fn new(idle: Duration) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());

        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();

        let mut transport = TransportConfig::default();
        let idle = VarInt::from_u64(idle.as_millis().try_into().unwrap()).unwrap();
        transport.max_idle_timeout(Some(IdleTimeout::from(idle)));
        let transport = Arc::new(transport);
        let server = QuicServerConfig::try_from(server).unwrap();
        let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
        let mut peers = Self {
            server: ServerConfig::with_crypto(Arc::new(server)),
            client: ClientConfig::new(Arc::new(client)),
        };
        peers.server.transport_config(transport.clone());
        peers.client.transport_config(transport);
        peers
    }

    pub fn server(&self, runtime: &Arc<dyn Runtime>) -> Endpoint {
        endpoint(Some(self.server.clone()), runtime)
    }

    pub fn client(&self, runtime: &Arc<dyn Runtime>) -> Endpoint {
        let mut client = endpoint(None, runtime);
        client.set_default_client_config(self.client.clone());
        client
    }
}

fn endpoint(server: Option<ServerConfig>, runtime: &Arc<dyn Runtime>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    Endpoint::new(EndpointConfig::default(), server, socket, runtime.clone()).unwrap()
}

pub async fn connect(client: &Endpoint, server: SocketAddr) -> Connection {
    client.connect(server, "localhost").unwrap().await.unwrap()
}

/// Accepts one connection, and echoes its streams until it is closed.
pub async fn echo(server: Endpoint) {
    let connection = server.accept().await.unwrap().await.unwrap();
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await.unwrap() {
            send.write_chunk(chunk.bytes).await.unwrap();
        }
        send.finish().unwrap();
    }
}

/// Sends `len` bytes to a server that echoes, and compares what comes back.
pub async fn exchange(connection: &Connection, len: usize) {
    let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let sent = async {
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
    };
    let received = async { receive.read_to_end(len + 1).await.unwrap() };
    let ((), received) = futures::join!(sent, received);
    assert!(received == bytes, "{} bytes of {len}", received.len());
}
