//! What is there to do where `rt::io` is not?

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    eprintln!("`reveille::rt::io` is there on Linux only; `--example line_server` runs everywhere");
    ExitCode::SUCCESS
}
