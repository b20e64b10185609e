//! boxr from the outside, as a person uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod attacks;
mod cdi;
mod changes;
mod cli;
mod configuration;
mod confinement;
mod containers;
mod copies;
mod crash;
mod debug;
mod descriptors;
mod detached;
mod drivers;
mod environment;
mod events;
mod exec;
mod exits;
mod flags;
mod harness;
mod health;
mod images;
mod limits;
mod look;
mod mounts;
mod names;
mod namespaces;
mod network;
mod notify;
mod own_binary;
mod owners;
mod pods;
mod privileges;
mod quotas;
mod readme;
mod records;
mod replay;
mod requires;
mod restarts;
mod rootfs;
mod sandbox;
mod secrets;
mod selection;
mod signals;
mod streams;
mod system;
mod terminals;
mod tries;
mod user_ids;
mod users;
mod volumes;

fn main() -> std::process::ExitCode {
    let tests = [
        harness::TESTS,
        cli::TESTS,
        readme::TESTS,
        exits::TESTS,
        streams::TESTS,
        namespaces::TESTS,
        network::TESTS,
        network::OF_IMAGES,
        network::NAMES,
        network::OPTIONS,
        network::OWN,
        network::WORDS,
        network::ROOTLESS,
        network::SHARED,
        network::SLIRP,
        network::SUDDEN,
        network::WIRE,
        network::REALM,
        network::ROBUST,
        network::BESIDE,
        network::HOST_SIDE,
        network::DOCKER,
        network::BARE,
        network::IPV6,
        network::PORTS,
        network::FORWARDER,
        pods::TESTS,
        pods::BAD,
        pods::OF_IMAGES,
        pods::NETWORK,
        pods::REALM,
        pods::SUDDEN,
        pods::WORDS,
        environment::TESTS,
        events::TESTS,
        debug::TESTS,
        user_ids::TESTS,
        quotas::TESTS,
        requires::TESTS,
        users::TESTS,
        privileges::TESTS,
        records::TESTS,
        restarts::TESTS,
        flags::TESTS,
        drivers::TESTS,
        selection::TESTS,
        rootfs::TESTS,
        sandbox::TESTS,
        sandbox::attacks::TESTS,
        sandbox::landlock::TESTS,
        sandbox::limits::TESTS,
        sandbox::profiles::TESTS,
        sandbox::proxy::TESTS,
        sandbox::refusals::TESTS,
        secrets::TESTS,
        owners::TESTS,
        cdi::TESTS,
        notify::TESTS,
        mounts::TESTS,
        descriptors::TESTS,
        signals::TESTS,
        terminals::TESTS,
        tries::TESTS,
        tries::shown::TESTS,
        limits::TESTS,
        detached::TESTS,
        names::TESTS,
        exec::TESTS,
        configuration::TESTS,
        look::TESTS,
        crash::TESTS,
        crash::containers::TESTS,
        attacks::TESTS,
        own_binary::TESTS,
        containers::TESTS,
        confinement::TESTS,
        health::TESTS,
        images::TESTS,
        images::compare::TESTS,
        images::archives::TESTS,
        images::mounted::TESTS,
        images::platforms::TESTS,
        images::verified::TESTS,
        images::push::TESTS,
        images::transfer::TESTS,
        system::TESTS,
        volumes::TESTS,
        changes::TESTS,
        replay::TESTS,
        copies::TESTS,
    ];
    boxr_testing::main(env!("CARGO_BIN_EXE_boxr"), tests.concat())
}
