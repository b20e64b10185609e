//! Session keyrings, keyctl(2).

use std::ffi::CStr;

use rustix::io::Errno;

const JOIN_SESSION_KEYRING: libc::c_long = 1;
const SETPERM: libc::c_long = 5;
const DESCRIBE: libc::c_long = 6;

/// The right to find a key, for processes of its owner (`KEY_USR_SEARCH`).
pub const OWNER_MAY_SEARCH: u32 = 0x0008_0000;
/// The same for everybody else (`KEY_OTH_SEARCH`).
pub const OTHERS_MAY_SEARCH: u32 = 0x0000_0008;

/// A keyring by its serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyring(i32);

/// Makes the keyring `name` the session keyring of the calling process: the one of that name
/// which it may search, or else a new one.
///
/// # Errors
/// `ENOSYS` where the kernel has no keys, `EDQUOT` past the user's quota.
pub fn join_session(name: &CStr) -> Result<Keyring, Errno> {
    // SAFETY: the name is a C string that lives through the call.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    if serial == -1 { Err(crate::clone::last_errno()) } else { Ok(Keyring(serial as i32)) }
}

impl Keyring {
    /// Adds `rights` to those that the keyring gives.
    ///
    /// # Errors
    /// `EACCES` for a keyring of somebody else.
    pub fn grant(self, rights: u32) -> Result<(), Errno> {
        let permissions = self.permissions()? | rights;
        // SAFETY: two numbers; no memory is touched.
        let result = unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, self.0, permissions) };
        if result == -1 { Err(crate::clone::last_errno()) } else { Ok(()) }
    }

    /// From the description `keyring;UID;GID;PERMISSIONS;NAME`.
    fn permissions(self) -> Result<u32, Errno> {
        let mut text = [0u8; 512];
        // SAFETY: the kernel writes at most the given length to a buffer that lives through the call.
        let length =
            unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, self.0, text.as_mut_ptr(), text.len()) };
        if length == -1 {
            return Err(crate::clone::last_errno());
        }
        let text = text.get(..length as usize).ok_or(Errno::TOOBIG)?;
        let field = text.split(|byte| *byte == b';').nth(3).ok_or(Errno::PROTO)?;
        let field = std::str::from_utf8(field).map_err(|_| Errno::PROTO)?;
        u32::from_str_radix(field, 16).map_err(|_| Errno::PROTO)
    }
}
