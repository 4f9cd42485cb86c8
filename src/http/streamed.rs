//! A body of any length that is written while it is read, a piece at a time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::rt;
use actix_web::web::Bytes;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::error::{Error, Result};

/// A reader that takes nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What makes the pieces.
pub(super) trait Source: 'static {
    /// The next piece; `None` after the last one.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>>>;
}

enum Piece {
    Bytes(Bytes),
    /// The body is whole. A channel that closes without it is a body that broke off.
    End,
}

/// The body. Where a piece cannot be made, the connection breaks off, so that nobody takes a part for the whole.
pub(super) struct Streamed(mpsc::Receiver<Piece>);

impl Streamed {
    /// Begins to read: `first` is sent at once, the next piece is made while the one before is being sent.
    pub(super) fn start(first: Bytes, source: impl Source) -> Streamed {
        let (sender, receiver) = mpsc::channel(1);
        rt::spawn(
            async move {
                if let Err(error) = send_all(&sender, first, source).await {
                    tracing::error!(%error, ?error, "an answer broke off");
                }
            }
            .in_current_span(),
        );
        Streamed(receiver)
    }
}

async fn send_all(sender: &mpsc::Sender<Piece>, first: Bytes, mut source: impl Source) -> Result<()> {
    let mut next = Some(first);
    while let Some(bytes) = next {
        // A piece of no length is how HTTP/1.1 says that the body is over.
        if !bytes.is_empty() && !send(sender, Piece::Bytes(bytes)).await? {
            return Ok(());
        }
        next = source.next().await?;
    }
    send(sender, Piece::End).await.map(drop)
}

/// `false` when the reader has gone.
async fn send(sender: &mpsc::Sender<Piece>, piece: Piece) -> Result<bool> {
    match tokio::time::timeout(PATIENCE, sender.send(piece)).await {
        Ok(sent) => Ok(sent.is_ok()),
        Err(_) => Err(Error::internal("the caller took nothing for a minute")),
    }
}

impl MessageBody for Streamed {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => None,
            None => Some(Err(io::Error::other("the answer broke off"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    struct Numbers(u8, bool);

    impl Source for Numbers {
        async fn next(&mut self) -> Result<Option<Bytes>> {
            match self {
                Numbers(0, true) => Err(Error::internal("on purpose")),
                Numbers(0, false) => Ok(None),
                Numbers(left, _) => {
                    *left -= 1;
                    Ok(Some(Bytes::from(vec![*left])))
                }
            }
        }
    }

    async fn read(source: Numbers) -> (Vec<u8>, bool) {
        let mut body = pin!(Streamed::start(Bytes::from_static(&[9]), source));
        let mut taken = Vec::new();
        loop {
            match poll_fn(|context| body.as_mut().poll_next(context)).await {
                Some(Ok(bytes)) => taken.extend(bytes),
                Some(Err(_)) => return (taken, false),
                None => return (taken, true),
            }
        }
    }

    #[actix_web::test]
    async fn a_body_is_whole_or_breaks_off() {
        assert_eq!(read(Numbers(3, false)).await, (vec![9, 2, 1, 0], true));
        assert_eq!(read(Numbers(2, true)).await, (vec![9, 1, 0], false));
    }
}
