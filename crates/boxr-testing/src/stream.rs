//! Bytes that arrive while a test goes on: a pipe's or a terminal's.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Shared {
    bytes: Vec<u8>,
    ended: bool,
}

/// Everything read from a descriptor so far, collected by a thread of its own.
#[derive(Clone, Default)]
pub struct Stream {
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({:?})", String::from_utf8_lossy(&self.bytes()))
    }
}

impl Stream {
    /// Starts to collect `source` until it ends; a terminal whose other side closed
    /// reads as `EIO`, which is an end too.
    pub fn collect(mut source: impl Read + Send + 'static) -> Self {
        let stream = Self::default();
        let into = stream.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                match source.read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break into.change(|shared| shared.ended = true),
                    Ok(read) => into.change(|shared| shared.bytes.extend_from_slice(&buffer[..read])),
                }
            }
        });
        stream
    }

    /// All that has arrived.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.0.lock().unwrap().bytes.clone()
    }

    /// Waits until `pattern` stands at or behind byte `from`; the offset behind it.
    ///
    /// # Errors
    /// What had arrived when the stream ended or the time was over.
    pub fn find(&self, pattern: &str, from: usize, patience: Duration) -> Result<usize, String> {
        let found = self.wait(patience, |shared| {
            let rest = &shared.bytes[from.min(shared.bytes.len())..];
            let at = rest.windows(pattern.len().max(1)).position(|part| part == pattern.as_bytes());
            at.map(|at| from + at + pattern.len())
        });
        found.ok_or_else(|| String::from_utf8_lossy(&self.bytes()[from..]).into_owned())
    }

    /// Waits for the end of the stream; whether it came in time.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait(patience, |shared| shared.ended.then_some(())).is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    fn wait<T>(&self, patience: Duration, found: impl Fn(&Shared) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        let mut shared = self.shared.0.lock().unwrap();
        loop {
            if let Some(value) = found(&shared) {
                return Some(value);
            }
            let left = end.saturating_duration_since(Instant::now());
            if shared.ended || left.is_zero() {
                return None;
            }
            shared = self.shared.1.wait_timeout(shared, left).unwrap().0;
        }
    }
}
