//! Error numbers as people know them: the sentence of strerror(3) and the name of errno(3).

use rustix::io::Errno;

/// `Operation not permitted (EPERM)`.
pub fn errno_text(errno: Errno) -> String {
    let code = errno.raw_os_error();
    let sentence = std::io::Error::from_raw_os_error(code).to_string();
    let sentence = sentence.rsplit_once(" (os error").map_or(sentence.as_str(), |(text, _)| text);
    match errno_name(errno) {
        Some(name) => format!("{sentence} ({name})"),
        None => format!("{sentence} (errno {code})"),
    }
}

macro_rules! names {
    ($($rustix:ident $name:literal)*) => {
        /// `EPERM`; `None` for a number that no system call of boxr's is documented to give.
        pub fn errno_name(errno: Errno) -> Option<&'static str> {
            $(if errno == Errno::$rustix { return Some($name); })*
            None
        }
    };
}

names! {
    PERM "EPERM" NOENT "ENOENT" SRCH "ESRCH" INTR "EINTR" IO "EIO" NXIO "ENXIO" TOOBIG "E2BIG"
    NOEXEC "ENOEXEC" BADF "EBADF" CHILD "ECHILD" AGAIN "EAGAIN" NOMEM "ENOMEM" ACCESS "EACCES"
    FAULT "EFAULT" NOTBLK "ENOTBLK" BUSY "EBUSY" EXIST "EEXIST" XDEV "EXDEV" NODEV "ENODEV"
    NOTDIR "ENOTDIR" ISDIR "EISDIR" INVAL "EINVAL" NFILE "ENFILE" MFILE "EMFILE" NOTTY "ENOTTY"
    TXTBSY "ETXTBSY" FBIG "EFBIG" NOSPC "ENOSPC" SPIPE "ESPIPE" ROFS "EROFS" MLINK "EMLINK"
    PIPE "EPIPE" DOM "EDOM" RANGE "ERANGE" DEADLK "EDEADLK" NAMETOOLONG "ENAMETOOLONG"
    NOLCK "ENOLCK" NOSYS "ENOSYS" NOTEMPTY "ENOTEMPTY" LOOP "ELOOP" NODATA "ENODATA"
    TIME "ETIME" PROTO "EPROTO" OVERFLOW "EOVERFLOW" BADMSG "EBADMSG" ILSEQ "EILSEQ"
    USERS "EUSERS" NOTSOCK "ENOTSOCK" MSGSIZE "EMSGSIZE" OPNOTSUPP "EOPNOTSUPP"
    ADDRINUSE "EADDRINUSE" CONNREFUSED "ECONNREFUSED" CONNRESET "ECONNRESET" NOBUFS "ENOBUFS"
    NOTCONN "ENOTCONN" TIMEDOUT "ETIMEDOUT" ALREADY "EALREADY" INPROGRESS "EINPROGRESS"
    STALE "ESTALE" DQUOT "EDQUOT" CANCELED "ECANCELED" LIBBAD "ELIBBAD" NOKEY "ENOKEY"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_and_name() {
        assert_eq!(errno_text(Errno::PERM), "Operation not permitted (EPERM)");
        assert_eq!(errno_text(Errno::NOENT), "No such file or directory (ENOENT)");
        assert_eq!(errno_text(Errno::from_raw_os_error(4000)), "Unknown error 4000 (errno 4000)");
    }
}
