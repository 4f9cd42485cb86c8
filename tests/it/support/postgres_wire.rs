//! As much of the PostgreSQL protocol as one statement needs.
//!
//! With `trust` it is a few messages, it is ten times as fast as starting `psql`, and the client programs need not be
//! installed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::USER;

/// Runs one statement on the server at a port of the loopback interface and returns the first column of the last row.
pub fn query(port: u16, database: &str, sql: &str) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("{error}. Is the server running?");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(failed)?;
    let startup = format!("\0\u{3}\0\0user\0{USER}\0database\0{database}\0\0");
    send(&mut stream, b"", startup.as_bytes()).map_err(failed)?;

    let mut sent = false;
    let mut value = None;
    let mut error = None;
    loop {
        let (tag, body) = receive(&mut stream).map_err(|io_error| {
            // After a refused connection the server hangs up.
            error.take().unwrap_or_else(|| failed(io_error))
        })?;
        match tag {
            b'E' => error = Some(error_text(&body)),
            b'D' => value = first_column(&body),
            b'Z' if sent => break,
            b'Z' => {
                send(&mut stream, b"Q", format!("{sql}\0").as_bytes()).map_err(failed)?;
                sent = true;
            }
            _ => {}
        }
    }
    // A farewell. The server notices the closed connection as well.
    let _ = send(&mut stream, b"X", b"");
    error.map_or(Ok(value), Err)
}

/// Sends a message of the PostgreSQL protocol: its tag (none for the first), its length with the
/// length field itself, its body.
fn send(stream: &mut TcpStream, tag: &[u8], body: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(std::io::Error::other)?;
    let mut message = tag.to_vec();
    message.extend(length.to_be_bytes());
    message.extend(body);
    stream.write_all(&message)
}

fn receive(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut tag = [0];
    let mut length = [0; 4];
    stream.read_exact(&mut tag)?;
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
    stream.read_exact(&mut body)?;
    Ok((u8::from_be_bytes(tag), body))
}

/// The message of an `ErrorResponse`: fields that end with a zero byte, each led by its kind.
fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let texts: Vec<_> = fields
        .filter_map(|field| match field.split_first()? {
            (b'M' | b'D' | b'H', text) => Some(String::from_utf8_lossy(text)),
            _ => None,
        })
        .collect();
    texts.join(". ")
}

/// The first value of a `DataRow`: the count of values in two bytes, then each with its length,
/// which is negative for null.
fn first_column(body: &[u8]) -> Option<String> {
    let (length, rest) = body.get(2..)?.split_first_chunk()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    String::from_utf8(rest.get(..length)?.to_vec()).ok()
}
