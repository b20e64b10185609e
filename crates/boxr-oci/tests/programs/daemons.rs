//! containerd and dockerd, which start the runtime through a shim that stays with each container.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::compare::{BUSYBOX, RUNC, same_story_apart};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(containerd_is_as_with_runc, CTR, GRPC, IP, BUSYBOX, RUNC, Need::Root; deadline 480),
    test!(docker_is_as_with_runc, Need::Tool(Tool::Dockerd), IP, BUSYBOX, RUNC, Need::Root; deadline 480),
];

const CTR: Need = Need::Tool(Tool::Containerd);
const GRPC: Need = Need::Tool(Tool::PythonGrpc);
const IP: Need = Need::Tool(Tool::Ip);

fn containerd_is_as_with_runc(t: &Sandbox) {
    std::fs::write(t.path("cri.py"), include_str!("cri.py")).unwrap();
    same_story_apart(t, include_str!("containerd.sh"));
}

fn docker_is_as_with_runc(t: &Sandbox) {
    same_story_apart(t, include_str!("docker.sh"));
}
