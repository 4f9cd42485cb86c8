//! Closing a connection without an answer, as a network does it.
//!
//! A handler cannot refuse to answer, so a second handle of the socket is kept from the moment it
//! is accepted; shutting it down makes the client see the end of the stream before any byte of an
//! answer. Limits: on systems other than Unix the client gets an empty answer with status 500.

use actix_web::dev::Extensions;
use actix_web::{HttpRequest, HttpResponse};
use std::any::Any;

#[cfg(unix)]
struct Socket(std::net::TcpStream);

/// Keeps a second handle of an accepted socket.
#[cfg(unix)]
pub(super) fn remember(connection: &dyn Any, data: &mut Extensions) {
    use std::os::fd::AsFd;
    let stream = connection.downcast_ref::<actix_web::rt::net::TcpStream>();
    if let Some(Ok(copy)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        data.insert(Socket(copy.into()));
    }
}

/// Keeps nothing.
#[cfg(not(unix))]
pub(super) fn remember(_connection: &dyn Any, _data: &mut Extensions) {}

/// Closes the connection of a request. The returned answer goes nowhere.
pub(super) fn close(request: &HttpRequest) -> HttpResponse {
    #[cfg(unix)]
    if let Some(Socket(socket)) = request.conn_data::<Socket>()
        && let Err(error) = socket.shutdown(std::net::Shutdown::Both)
    {
        tracing::debug!(%error, "the connection was closed already");
    }
    HttpResponse::InternalServerError().force_close().finish()
}
