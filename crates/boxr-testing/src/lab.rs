//! A host of a test's own, with a network of its own: nothing touches the machine's.
//!
//! ```text
//!  internet (a network namespace)            host (another)
//!    net0 192.0.2.1, 2001:db8::1  ─────────  up0 192.0.2.2, 2001:db8::2, default route
//!    lo   198.51.100.7
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::command::{Cmd, Running};
use crate::sandbox::Sandbox;

/// An address of the internet's.
pub const FAR_AWAY: &str = "198.51.100.7";
/// The internet's address on the wire to the host.
pub const NEIGHBOUR: &str = "192.0.2.1";
/// The host's address.
pub const HOST: &str = "192.0.2.2";

/// An ordinary user, whom /etc/passwd does not know and who has one id, unless [`Lab::give_ids`] is asked.
pub const USER: u32 = 12345;

/// Two network namespaces, each held by a process.
#[derive(Debug)]
pub struct Lab {
    host: Running,
    internet: Running,
}

impl Lab {
    /// Makes them.
    #[track_caller]
    pub fn new() -> Self {
        Self::between(hold("--net", "echo up; exec cat"), hold("--net", "echo up; exec cat"))
    }

    /// Makes them; on the host everybody may open /dev/net/tun, as on most machines.
    #[track_caller]
    pub fn for_users() -> Self {
        let script = "mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && \
                      echo up; exec cat";
        Self::between(hold("--net --mount", script), hold("--net", "echo up; exec cat"))
    }

    #[track_caller]
    fn between(host: Running, internet: Running) -> Self {
        let lab = Self { host, internet };
        lab.on_host("ip").args(["link", "set", "lo", "up"]).run().ok();
        lab.on_internet("ip").args(["link", "set", "lo", "up"]).run().ok();
        let there = format!("/proc/{}/ns/net", lab.internet.pid());
        let pair = ["link", "add", "up0", "type", "veth", "peer", "name", "net0", "netns", there.as_str()];
        lab.on_host("ip").args(pair).run().ok();
        for words in ["addr add 192.0.2.2/24 dev up0", "link set up0 up"] {
            lab.on_host("ip").args(words.split(' ')).run().ok();
        }
        for words in ["addr add 192.0.2.1/24 dev net0", "addr add 198.51.100.7/32 dev lo", "link set net0 up"]
        {
            lab.on_internet("ip").args(words.split(' ')).run().ok();
        }
        for words in ["-6 addr add 2001:db8::2/64 dev up0 nodad", "route add default via 192.0.2.1"] {
            lab.on_host("ip").args(words.split(' ')).run().ok();
        }
        lab.on_internet("ip").args("-6 addr add 2001:db8::1/64 dev net0 nodad".split(' ')).run().ok();
        lab
    }

    /// A command in the host's network.
    pub fn on_host(&self, program: impl AsRef<OsStr>) -> Cmd {
        enter(&self.host, program)
    }

    /// A command in the internet's.
    pub fn on_internet(&self, program: impl AsRef<OsStr>) -> Cmd {
        enter(&self.internet, program)
    }

    /// `boxr ARGS…` on the host.
    pub fn boxr(&self, t: &Sandbox, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        t.surrounded(self.on_host(t.program())).args(t.globals()).args(args)
    }

    /// `boxr ARGS…` on the host, as an ordinary user whose files are below `home`.
    pub fn boxr_as_user(
        &self,
        t: &Sandbox,
        home: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Cmd {
        let words = self.as_user(t, home);
        let (program, rest) = words.split_first().expect("a program");
        self.on_host(program).args(rest).args(args).env("HOME", home).env("XDG_RUNTIME_DIR", home)
    }

    /// The words of a command line that runs `boxr` as that user, before what boxr is told.
    pub fn as_user(&self, t: &Sandbox, home: &Path) -> Vec<String> {
        let user = USER.to_string();
        let words = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"].map(str::to_owned);
        let text = |path: &Path| path.display().to_string();
        let directories = ["--state", "--root"]
            .map(|flag| [flag.to_owned(), text(&home.join(flag.trim_start_matches('-')))])
            .concat();
        [words.as_slice(), &[text(t.program())], &directories].concat()
    }

    /// Gives the user of a lab [`for_users`](Self::for_users) a name and subordinate ids, on its host alone.
    #[track_caller]
    pub fn give_ids(&self, t: &Sandbox) {
        for (name, line) in [
            ("passwd", format!("labuser:x:{USER}:{USER}::/:/bin/sh\n")),
            ("group", format!("labuser:x:{USER}:\n")),
            ("subuid", "labuser:3000000:65536\n".to_owned()),
            ("subgid", "labuser:3000000:65536\n".to_owned()),
        ] {
            let place = format!("/etc/{name}");
            let known = std::fs::read_to_string(&place).unwrap_or_default();
            let file = t.file(&format!("etc-{name}"), &(known + &line));
            self.on_host("mount").args(["--bind", &file, &place]).run().ok();
        }
    }

    /// A directory of that user's.
    #[track_caller]
    pub fn home(&self, t: &Sandbox) -> PathBuf {
        let home = t.path("user");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
        home
    }

    /// `busybox wget` of what is at `url`, on the host.
    pub fn fetch(&self, url: &str) -> Cmd {
        self.on_host("busybox").args(["wget", "-q", "-O", "-", url])
    }

    /// A web server in the internet, which tells who came on stderr.
    #[track_caller]
    pub fn serve(&self, port: u16, dir: &str) -> Running {
        let port = port.to_string();
        let server = self.on_internet("busybox").args(["httpd", "-f", "-v", "-p", &port, "-h", dir]).spawn();
        let listens =
            || self.on_internet("ss").args(["-Htln", "sport", &format!("= :{port}")]).run().ok().text();
        crate::wait_until("the server listens", || !listens().is_empty());
        server
    }

    /// Ends both. What boxr knows of its networks goes too: the default one has no other end.
    #[track_caller]
    pub fn end(self, t: &Sandbox) {
        for dir in [t.layout().state.join("network"), t.layout().root.join("networks")] {
            if dir.exists() {
                std::fs::remove_dir_all(dir).unwrap();
            }
        }
        self.go();
    }

    /// Ends both, as a reboot does: what boxr knows of them stays.
    #[track_caller]
    pub fn go(self) {
        for mut holder in [self.host, self.internet] {
            holder.close_stdin();
            holder.finish().ok();
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn hold(namespaces: &str, script: &str) -> Running {
    let mut holder = Cmd::new("unshare").args(namespaces.split(' ')).args(["--", "sh", "-c", script]).spawn();
    holder.expect("up");
    holder
}

fn enter(holder: &Running, program: impl AsRef<OsStr>) -> Cmd {
    let pid = holder.pid().to_string();
    // The mount namespace may be the caller's own. Either way the command starts in /.
    Cmd::new("nsenter").args(["--target", &pid, "--net", "--mount", "--"]).arg(program)
}
