//! boxr-oci: the OCI runtime. The whole program is the library beside this file.
#![no_main]

boxr_sys::entry!(start);

fn start() -> i32 {
    i32::from(boxr_oci::main(boxr_sys::entry::words()))
}
