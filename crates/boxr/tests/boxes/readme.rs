//! README.md's examples do what README.md says.

use std::collections::HashMap;

use boxr_testing::images::{Image, Layer, Packing, Server, architecture};
use boxr_testing::lab::Lab;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(
        every_example_prints_what_it_says,
        Need::Tool(Tool::Ps),
        Need::Tool(Tool::Busybox),
        Need::UserNamespaces,
        Need::TimeNamespaces,
        super::containers::OVERLAY
    ),
    test!(
        every_example_of_networks_prints_what_it_says,
        Need::Root,
        Need::Networks,
        Need::Tool(Tool::Busybox),
        super::containers::OVERLAY
    ),
    test!(
        a_users_networks_do_the_same,
        Need::Root,
        Need::Networks,
        Need::Tool(Tool::Busybox),
        Need::Tool(Tool::Pasta),
        Need::Tool(Tool::Setpriv),
        super::containers::OVERLAY
    ),
    test!(there_are_eleven_examples),
];

const README: &str = include_str!("../../../../README.md");

/// What examples begin with, and those that need a host of their own.
const ALL: &str = "```console";
const NETWORKS: &str = "```console of networks";

/// A command line and what README.md says that it prints.
struct Example {
    line: String,
    output: String,
}

/// The `$` lines of the console blocks, with the lines below each.
fn examples(fence: &str) -> Vec<Example> {
    let fence = format!("{fence}\n");
    let blocks = README.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let mut examples: Vec<Example> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => examples.push(Example { line: command.to_owned(), output: String::new() }),
            None => examples.last_mut().unwrap().output += &format!("{line}\n"),
        }
    }
    examples
}

fn there_are_eleven_examples(_: &Sandbox) {
    let numbers = (1..).take_while(|number| README.contains(&format!("\n**{number}. "))).count();
    assert_eq!(numbers, 11);
    assert!(examples(ALL).len() > 15);
}

/// Text without what differs from run to run: each id and namespace gets the number of its first appearance.
#[derive(Default)]
struct Neutral(HashMap<String, usize>);

impl Neutral {
    fn text(&mut self, text: &str, host: &str) -> String {
        let mut neutral = String::new();
        for word in text.replace(host, "laptop").split_inclusive([' ', '\n', '[', ']']) {
            let (core, end) = word.split_at(word.trim_end_matches([' ', '\n', '[', ']']).len());
            let is_id = core.len() == 64 && core.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_namespace = core.len() == 10 && core.starts_with("402653");
            if is_id || is_namespace {
                let next = self.0.len();
                neutral += &format!("#{}", self.0.entry(core.to_owned()).or_insert(next));
            } else {
                neutral += core;
            }
            neutral += end;
        }
        neutral
    }
}

/// A registry that has what the examples fetch, in place of Docker Hub.
fn docker_hub(t: &Sandbox) -> Server {
    let server = Server::start();
    let root = std::path::PathBuf::from(t.rootfs("alpine"));
    std::fs::write(root.join("etc/os-release"), "NAME=\"Alpine Linux\"\nID=alpine\n").unwrap();
    let layers = vec![Layer::of_dir(&root, Packing::Gzip)];
    server.put("library/alpine", "latest", &Image::new(architecture(), r#"{"Cmd":["/bin/sh"]}"#, layers));
    let conf = format!(
        "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
        server.host()
    );
    let dir = t.layout().home.join(".config/containers");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("registries.conf"), conf).unwrap();
    server
}

fn every_example_prints_what_it_says(t: &Sandbox) {
    try_examples(t, ALL);
}

fn every_example_of_networks_prints_what_it_says(t: &Sandbox) {
    try_examples(t, NETWORKS);
}

/// As a user whom root becomes, on a host of his own.
fn a_users_networks_do_the_same(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let _registry = docker_hub(t);
    let (from, to) = (t.layout().home.join(".config/containers"), home.join(".config/containers"));
    std::fs::create_dir_all(&to).unwrap();
    std::fs::copy(from.join("registries.conf"), to.join("registries.conf")).unwrap();
    // Fetched where the registry is; run where /dev/net/tun is open.
    let boxr = lab.as_user(t, &home).join(" ");
    let wrapper = format!("#!/bin/sh\nHOME='{0}' XDG_RUNTIME_DIR='{0}' exec {boxr} \"$@\"\n", home.display());
    let wrapper = t.file("boxr", wrapper);
    Cmd::new("chmod").args(["755", &wrapper]).run().ok();
    Cmd::new(&wrapper).args(["pull", "-q", "alpine"]).run().ok();
    compare(t, NETWORKS, |line| lab.on_host("sh").args(["-c", line]));
    lab.end(t);
}

fn try_examples(t: &Sandbox, fence: &str) {
    let _registry = docker_hub(t);
    // `boxr` of the examples is the built one, with this test's directories.
    let globals = t.globals().map(|word| format!("'{}'", word.to_string_lossy())).join(" ");
    let wrapper = t.file("boxr", format!("#!/bin/sh\nexec '{}' {globals} \"$@\"\n", t.program().display()));
    Cmd::new("chmod").args(["755", &wrapper]).run().ok();
    compare(t, fence, |line| t.surrounded(Cmd::new("sh")).args(["-c", line]));
}

/// Runs the examples, `shell` each line of them, with the `boxr` that lies in the test's directory.
fn compare(t: &Sandbox, fence: &str, shell: impl Fn(&str) -> Cmd) {
    let path = format!("{}:{}", t.path("").display(), std::env::var("PATH").unwrap());
    let host = Cmd::new("uname").arg("-n").run().ok().word();
    let (mut said, mut seen) = (Neutral::default(), Neutral::default());
    for example in examples(fence) {
        let out = shell(&format!("exec 2>&1; {}", example.line)).env("PATH", &path).cwd(t.path("")).run();
        let (expected, printed) = (said.text(&example.output, "laptop"), seen.text(&out.text(), &host));
        assert!(printed == expected, "README.md says:\n$ {}\n{expected}\n{}", example.line, out.story());
    }
}
