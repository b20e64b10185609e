//! buildah: images are built by running commands in containers.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use crate::compare::{BUSYBOX, RUNC, same_story};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(an_image_is_built, BUILDAH, BUSYBOX, RUNC, Need::Root; deadline 480),
    test!(a_user_builds_an_image, BUILDAH, BUSYBOX, RUNC, Need::Unprivileged, Need::SubordinateIds; deadline 480),
];

const BUILDAH: Need = Need::Tool(Tool::Buildah);

fn an_image_is_built(t: &Sandbox) {
    same_story(t, include_str!("buildah.sh"));
}

fn a_user_builds_an_image(t: &Sandbox) {
    same_story(t, include_str!("buildah.sh"));
}
