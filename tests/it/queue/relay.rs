//! A TCP relay between client and broker that can cut and stall connections, and slip bytes in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// What a connection does. Connections that come later begin with [`Mode::Flow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Flow,
    /// What the broker says does not arrive; what the client says does.
    Deaf,
    /// Nothing passes, and nobody is told.
    Stalled,
    Cut,
}

/// The relay; ends with the test's runtime.
pub(crate) struct Relay {
    port: u16,
    /// One mode for all connections of today; replaced when they are to be left behind.
    mode: Arc<std::sync::Mutex<watch::Sender<Mode>>>,
    injected: broadcast::Sender<Vec<u8>>,
    delay: watch::Sender<Duration>,
}

impl Relay {
    /// A relay to the broker of the URL, and the URL through it.
    pub(crate) async fn to(url: &str) -> (Self, String) {
        let address = url
            .split('@')
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self {
            port,
            mode: Arc::new(std::sync::Mutex::new(watch::Sender::new(Mode::Flow))),
            injected: broadcast::Sender::new(8),
            delay: watch::Sender::new(Duration::ZERO),
        };
        let through = url.replace(&address, &format!("127.0.0.1:{}", relay.port));
        let (mode, injected) = (Arc::clone(&relay.mode), relay.injected.clone());
        let delay = relay.delay.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mode = mode.lock().unwrap().subscribe();
                // A broker that restarts answers nobody: then the client is hung up on.
                let Ok(broker) = TcpStream::connect(&address).await else {
                    continue;
                };
                tokio::spawn(connection(
                    client,
                    broker,
                    mode,
                    injected.subscribe(),
                    delay.clone(),
                ));
            }
        });
        (relay, through)
    }

    /// Ends every connection of today.
    pub(crate) fn cut(&self) {
        self.leave_behind(Mode::Cut);
    }

    /// Every connection of today hangs for ever; new ones work.
    pub(crate) fn stall(&self) {
        self.leave_behind(Mode::Stalled);
    }

    /// What the broker says on connections of today does not arrive.
    pub(crate) fn deafen(&self) {
        self.mode.lock().unwrap().send_replace(Mode::Deaf);
    }

    /// Slips bytes into what every client says.
    pub(crate) fn inject(&self, bytes: Vec<u8>) {
        self.injected.send(bytes).unwrap();
    }

    /// Every piece that passes takes so much longer.
    pub(crate) fn slow(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    fn leave_behind(&self, last: Mode) {
        let today = std::mem::replace(&mut *self.mode.lock().unwrap(), watch::Sender::new(Mode::Flow));
        today.send_replace(last);
    }
}

async fn connection(
    client: TcpStream,
    broker: TcpStream,
    mode: watch::Receiver<Mode>,
    mut injected: broadcast::Receiver<Vec<u8>>,
    delay: watch::Receiver<Duration>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let (feed, mut fed) = tokio::sync::mpsc::channel::<Vec<u8>>(8);
    let up = async {
        loop {
            let bytes = tokio::select! {
                Some(bytes) = fed.recv() => bytes,
                Ok(bytes) = injected.recv() => bytes,
                else => return,
            };
            if to_broker.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let mut cut = mode.clone();
    tokio::select! {
        () = up => {}
        () = read(from_client, feed, mode.clone(), delay.clone()) => {}
        () = down(from_broker, to_client, mode.clone(), delay) => {}
        // Fails where the connection was left behind in another mode: then only its ends can end it.
        Ok(_) = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn read(
    mut from: OwnedReadHalf,
    feed: tokio::sync::mpsc::Sender<Vec<u8>>,
    mut mode: watch::Receiver<Mode>,
    delay: watch::Receiver<Duration>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        pause(&mut mode, &delay, |mode| mode == Mode::Stalled).await;
        if feed.send(buffer[..count].to_vec()).await.is_err() {
            return;
        }
    }
}

async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    delay: watch::Receiver<Duration>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        pause(&mut mode, &delay, |mode| mode != Mode::Flow).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Waits as long as nothing may pass: for ever where the mode is the last of its kind.
async fn pause(mode: &mut watch::Receiver<Mode>, delay: &watch::Receiver<Duration>, held: fn(Mode) -> bool) {
    if held(*mode.borrow()) && mode.wait_for(|mode| !held(*mode)).await.is_err() {
        std::future::pending::<()>().await;
    }
    let delay = *delay.borrow();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}
