//! boxr: puts a process in a box. The whole program is the library beside this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(boxr::main(std::env::args_os()))
}
