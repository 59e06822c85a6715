//! The program on systems without `rt::io`: it only says so.

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    eprintln!("`reveille::rt::io` is there on Linux only; `--example line_server` runs everywhere");
    ExitCode::SUCCESS
}
