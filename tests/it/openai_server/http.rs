//! As much of HTTP as a chat completion needs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::script::{Ending, Piece, Script};

/// The server. It ends when it is dropped.
pub(crate) struct OpenAiServer {
    /// What clients are given as their base URL.
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

impl OpenAiServer {
    /// A server that says the first script to the first request and so on, and the last one from then on; to requests for
    /// a model that scripts are meant for, those.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let requests = Arc::<Mutex<Vec<Value>>>::default();
        let scripts: Vec<_> = scripts.into_iter().collect();
        let seen = Arc::clone(&requests);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (scripts, seen) = (scripts.clone(), Arc::clone(&seen));
                connections.spawn(async move {
                    // A client that goes away in the middle is one of the things that are tested.
                    let _ = serve(stream, &scripts, &seen).await;
                });
            }
        });
        Ok(Self {
            base_url,
            requests,
            _tasks: tasks,
        })
    }

    /// The bodies of all requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Which request it is, from 0.
struct Number {
    of_model: usize,
    of_all: usize,
}

async fn serve(stream: TcpStream, scripts: &[Script], seen: &Mutex<Vec<Value>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "authorization" => key = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let request: Value = serde_json::from_slice(&body)?;
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    let number = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_model = seen
            .iter()
            .filter(|earlier| earlier["model"] == model.as_str())
            .count();
        seen.push(request);
        Number {
            of_model,
            of_all: seen.len() - 1,
        }
    };
    let for_model: Vec<_> = scripts
        .iter()
        .filter(|script| script.model.as_deref() == Some(model.as_str()))
        .collect();
    let script = match for_model.last() {
        Some(last) => Some(*for_model.get(number.of_model).unwrap_or(last)),
        None => scripts.get(number.of_all).or(scripts.last()),
    };
    let Some(script) = script else {
        return Ok(());
    };
    say(stream.get_mut(), script, &key).await
}

async fn say(stream: &mut TcpStream, script: &Script, key: &str) -> io::Result<()> {
    if script.ending == Ending::Reset {
        return stream.set_zero_linger();
    }
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n",
        script.status
    );
    for (name, value) in &script.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    for piece in &script.pieces {
        let text = match piece {
            Piece::Text(text) => text,
            Piece::EchoKey => key,
            Piece::Wait(notify) => {
                notify.notified().await;
                continue;
            }
            Piece::Meet(all) => {
                all.wait().await;
                continue;
            }
        };
        if !text.is_empty() {
            stream
                .write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
                .await?;
        }
    }
    match script.ending {
        Ending::Proper => {
            stream.write_all(b"0\r\n\r\n").await?;
            stream.shutdown().await
        }
        Ending::Dropped | Ending::Reset => Ok(()),
        Ending::Silence => std::future::pending().await,
    }
}
