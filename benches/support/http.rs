//! Just enough of HTTP/1.1 for both ends of a benchmark: messages with a `Content-Length`, one after the other.

use std::io::{Error, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One kept connection and the last message that came over it.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    body_start: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        Connection::of(TcpStream::connect(address).await?)
    }

    pub fn of(stream: TcpStream) -> Result<Connection> {
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(4096), body_start: 0 })
    }

    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await
    }

    /// Reads the next message. `false` when the other side has closed the connection instead.
    pub async fn receive(&mut self) -> Result<bool> {
        self.received.clear();
        self.body_start = 0;
        let mut whole = usize::MAX;
        while self.received.len() < whole {
            self.received.reserve(4096);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return if self.received.is_empty() { Ok(false) } else { Err(Error::other("closed in a message")) };
            }
            if self.body_start == 0
                && let Some(end) = find(&self.received, b"\r\n\r\n")
            {
                self.body_start = end + 4;
                whole = self.body_start + content_length(self.head())?;
            }
        }
        if self.received.len() > whole { Err(Error::other("more than one message")) } else { Ok(true) }
    }

    pub fn head(&self) -> &[u8] {
        self.received.get(..self.body_start).unwrap_or_default()
    }

    pub fn body(&self) -> &[u8] {
        self.received.get(self.body_start..).unwrap_or_default()
    }

    /// Status of an answer; 0 when it is none.
    pub fn status(&self) -> u16 {
        let digits = self.head().strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default();
        std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Where `wanted` begins.
pub fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| byte == first)?;
        if text.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    let text = value.and_then(|value| std::str::from_utf8(value).ok()).map(str::trim);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::other("a message without Content-Length"))
}
