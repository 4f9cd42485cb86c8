//! The scenario of `--report`: a day's register of many rows, its time and its memory.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::stub;

/// A register that was read to its end.
#[derive(Default)]
pub struct Read {
    pub lines: u64,
    pub bytes: u64,
    pub first_ms: f64,
    pub whole_ms: f64,
}

/// Reads the register of the day that the stub tells of, `json` or `csv`, and counts its lines.
pub async fn read(address: SocketAddr, key: &str, format: &str) -> Result<Read, String> {
    let day = stub::DAY;
    let path = format!("/v1/reports/register?date={day}&format={format}");
    let broke = |error: std::io::Error| format!("GET {path}: {error}");
    let started = Instant::now();
    let mut stream = BufReader::new(TcpStream::connect(address).await.map_err(broke)?);
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await.map_err(broke)?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.map_err(broke)? == 0 {
            return Err(format!("GET {path}: no answer"));
        }
    }
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("GET {path}: {head}"));
    }
    let mut read = Read { first_ms: started.elapsed().as_secs_f64() * 1000.0, ..Read::default() };
    let mut chunk = Vec::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).await.map_err(broke)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| format!("GET {path}: the answer broke off"))?;
        chunk.resize(size + 2, 0);
        stream.read_exact(&mut chunk).await.map_err(broke)?;
        if size == 0 {
            break;
        }
        let body = chunk.get(..size).unwrap_or_default();
        read.bytes += u64::try_from(size).unwrap_or(0);
        read.lines += u64::try_from(body.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
    }
    read.whole_ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(read)
}
