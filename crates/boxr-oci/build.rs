//! Which C library, and what lies side by side.

fn main() {
    boxr_build::link_programs("order.ld");
}
