//! The small programs that a test program also is, chosen by `--as=ROLE`.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::fs::{Mode, OFlags};

/// Runs the program `role`.
pub fn main(role: &str, mut words: impl Iterator<Item = String>) -> ExitCode {
    match role {
        "on-terminal" => on_terminal(&words.next().expect("a terminal"), words),
        "with-descriptors" => with_descriptors(&words.next().expect("a number"), words),
        "descriptors" => descriptors(),
        "pattern" => pattern(words.next().expect("a length").parse().expect("a number")),
        "check-pattern" => check_pattern(),
        "abstract-server" => abstract_server(&words.next().expect("a name")),
        "abstract-client" => abstract_client(&words.next().expect("a name")),
        "exchange" => exchange(&words.next().expect("an address")),
        "path-client" => path_client(&words.next().expect("a path")),
        "metadata" => crate::metadata::main(&words.next().expect("a path")),
        "notify" => notify(&words.next().expect("a message")),
        "overwrite-runtime" => crate::overwrite::main(words),
        role => panic!("a test program cannot be {role:?}"),
    }
}

/// Makes the terminal the controlling one of a new session and runs the words there.
fn on_terminal(terminal: &str, words: impl Iterator<Item = String>) -> ExitCode {
    rustix::process::setsid().unwrap();
    // Opened by a session leader without O_NOCTTY: tty_ioctl(4), it becomes the controlling one.
    let terminal = rustix::fs::open(terminal, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
    rustix::stdio::dup2_stdin(&terminal).unwrap();
    rustix::stdio::dup2_stdout(&terminal).unwrap();
    rustix::stdio::dup2_stderr(&terminal).unwrap();
    exec(words)
}

/// Runs the words with so many more descriptors, from 3 on, open on /dev/null and inherited.
fn with_descriptors(count: &str, words: impl Iterator<Item = String>) -> ExitCode {
    let count: usize = count.parse().expect("a number");
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).unwrap();
    let mut kept = vec![null];
    while kept.len() < count {
        kept.push(rustix::io::dup(&kept[0]).unwrap());
    }
    exec(words)
}

fn exec(mut words: impl Iterator<Item = String>) -> ExitCode {
    let error = Command::new(words.next().expect("a program")).args(words).exec();
    panic!("exec: {error}");
}

/// Prints the open descriptors of this process, one in a line: number and what it is.
fn descriptors() -> ExitCode {
    let mut list: Vec<(u32, String)> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let number = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let target = std::fs::read_link(&path).unwrap();
        list.push((number, target.to_string_lossy().into_owned()));
    }
    // The one that the directory was read through is none that was inherited.
    list.retain(|(_, target)| !(target.starts_with("/proc/") && target.ends_with("/fd")));
    list.sort();
    for (number, target) in list {
        println!("{number} {target}");
    }
    ExitCode::SUCCESS
}

/// Byte `index` of the endless pattern: every value occurs, at a position that tells its place.
pub fn pattern_byte(index: usize) -> u8 {
    ((index * 31 + (index >> 8) * 7 + (index >> 16) * 3) & 0xff) as u8
}

/// The first bytes of the pattern.
pub fn pattern_bytes(length: usize) -> Vec<u8> {
    (0..length).map(pattern_byte).collect()
}

fn pattern(length: usize) -> ExitCode {
    std::io::stdout().write_all(&pattern_bytes(length)).unwrap();
    ExitCode::SUCCESS
}

/// Reads the pattern on stdin to its end and prints how long it was.
fn check_pattern() -> ExitCode {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    let wrong = bytes.iter().enumerate().find(|&(index, &byte)| byte != pattern_byte(index));
    match wrong {
        Some((index, _)) => println!("byte {index} is wrong"),
        None => println!("{} bytes", bytes.len()),
    }
    ExitCode::SUCCESS
}

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

/// Greets whoever connects to an abstract socket, which belongs to a network namespace (unix(7)).
fn abstract_server(name: &str) -> ExitCode {
    let listener = UnixListener::bind_addr(&abstract_address(name)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        // A client that has gone is no concern of the next.
        stream.unwrap().write_all(b"hello\n").ok();
    }
    ExitCode::SUCCESS
}

/// Prints the greeting; status 1 when nobody listens.
fn abstract_client(name: &str) -> ExitCode {
    let Ok(mut stream) = UnixStream::connect_addr(&abstract_address(name)) else { return ExitCode::FAILURE };
    std::io::copy(&mut stream, &mut std::io::stdout()).unwrap();
    ExitCode::SUCCESS
}

/// Sends stdin to an address and prints what comes back, until the other side ends.
fn exchange(address: &str) -> ExitCode {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    // The other side may have enough before all is sent.
    stream.write_all(&bytes).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    std::io::stdout().write_all(&answer).unwrap();
    ExitCode::SUCCESS
}

/// Says whether somebody listens on the socket at `path`.
fn path_client(path: &str) -> ExitCode {
    match UnixStream::connect(path) {
        Ok(_) => {
            println!("connected");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells a service manager, as sd_notify(3) does.
fn notify(message: &str) -> ExitCode {
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(message.as_bytes(), std::env::var_os("NOTIFY_SOCKET").expect("a socket")).unwrap();
    ExitCode::SUCCESS
}
