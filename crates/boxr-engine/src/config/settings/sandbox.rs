//! `--sandbox` and its openings. They are flags only: what a file says of sandboxes is a profile.

use super::{Setting, add, flag, put};
use crate::config::value::{Base, Invalid, Node};
use crate::sandbox::{Allow, Home, NetAllow, Protection};

/// The settings of a sandbox.
pub(super) static SETTINGS: &[Setting] = &[
    flag("sandbox", "the name of a profile", |raw, node, _| {
        put(&mut raw.sandbox.sandbox, node.text()?.to_owned())
    }),
    flag("allow", "PATH, or PATH:ro", |raw, node, base| {
        add(&mut raw.sandbox.allow, vec![allow(node, base)?])
    }),
    flag("hide", "a path", |raw, node, base| add(&mut raw.sandbox.hide, vec![base.absolute(node.text()?)?])),
    flag("allow-env", "the name of a variable, in which * stands for anything", |raw, node, _| {
        match node.text()? {
            "" => Err(node.invalid("no name")),
            name if name.contains('=') => Err(node.invalid("a name without a value; --env sets one")),
            name => add(&mut raw.sandbox.allow_env, vec![name.to_owned()]),
        }
    }),
    flag("allow-net", "HOST, HOST:PORT, *.DOMAIN or an address", |raw, node, _| {
        let net = match node.text()? {
            "" | "all" => NetAllow::All,
            text => NetAllow::Host(text.parse().map_err(|why: String| node.invalid(why))?),
        };
        add(&mut raw.sandbox.allow_net, vec![net])
    }),
    flag("allow-socket", "the path of a socket", |raw, node, base| {
        add(&mut raw.sandbox.allow_socket, vec![base.absolute(node.text()?)?])
    }),
    flag("home", "keep, empty or a directory", |raw, node, base| {
        put(&mut raw.sandbox.home, home(node, base)?)
    }),
    flag(
        "allow-degraded",
        "abstract-sockets, hooks, limits, metadata, processes or sockets",
        |raw, node, _| {
            let names = node.text()?.split(',');
            let one = |name: &str| {
                Protection::parse(name)
                    .ok_or_else(|| node.invalid(format!("no protection is called {name:?}")))
            };
            add(&mut raw.sandbox.degraded, names.map(one).collect::<Result<_, _>>()?)
        },
    ),
    flag("explain-refusals", "true or false", |raw, node, _| {
        put(&mut raw.sandbox.explain_refusals, node.boolean()?)
    }),
    flag("landlock", "true or false", |raw, node, _| put(&mut raw.sandbox.landlock, node.boolean()?)),
];

fn allow(node: &Node, base: &Base) -> Result<Allow, Invalid> {
    let text = node.text()?;
    let (path, writable) = match text.rsplit_once(':') {
        Some((path, "ro")) => (path, false),
        Some((path, "rw")) => (path, true),
        _ => (text, true),
    };
    Ok(Allow { path: base.absolute(path)?, writable })
}

fn home(node: &Node, base: &Base) -> Result<Home, Invalid> {
    Ok(match node.text()? {
        "keep" => Home::Keep,
        "empty" => Home::Empty,
        dir => Home::Directory(base.absolute(dir)?),
    })
}
