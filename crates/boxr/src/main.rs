//! boxr
fn main() {}
