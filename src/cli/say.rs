//! Output of the commands. Whoever reads it may stop in the middle (`… | head`): the command goes on without saying more,
//! and ends with the code it would have had.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};

/// Like `print!`.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::say::write(format_args!($($part)*)) };
}

/// Like `println!`.
macro_rules! say_line {
    () => { $crate::cli::say::write(format_args!("\n")) };
    ($($part:tt)*) => { $crate::cli::say::write(format_args!("{}\n", format_args!($($part)*))) };
}

pub(super) use {say, say_line};

/// Writes to the standard output. What cannot be kept there (a full disk) ends the process: nobody may take a cut document
/// for a whole one.
pub(super) fn write(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(format_args!("cannot write to the standard output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Writes to the standard error, if anybody reads it.
pub(super) fn complain(text: Arguments<'_>) {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr().lock(), "kmic-payments: {text}");
}
