//! Keeps signals away from the endpoint's thread.

use std::mem::MaybeUninit;

/// Blocks signals in the calling thread until it is dropped. A thread that is
/// started meanwhile inherits the mask: signals go to the host's own threads, of
/// which one may wait for them with `sigwait`.
///
/// Signals that report a fault of the running thread itself stay open, since
/// handlers of them (a stack overflow's, Python's `faulthandler`) have to run on
/// that thread.
pub(super) struct BlockedSignals {
    before: libc::sigset_t,
}

const FAULTS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];

impl BlockedSignals {
    #[allow(unsafe_code)]
    pub(super) fn new() -> Self {
        let mut blocked = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigfillset` initialises the set that it is given, `sigdelset`
        // gets a set that is initialised and valid signal numbers, and
        // `pthread_sigmask` reads the one set and initialises the other. It fails
        // only for an invalid first argument.
        let before = unsafe {
            libc::sigfillset(blocked.as_mut_ptr());
            for fault in FAULTS {
                libc::sigdelset(blocked.as_mut_ptr(), fault);
            }
            let failed =
                libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), before.as_mut_ptr());
            assert_eq!(failed, 0, "the arguments are valid");
            before.assume_init()
        };
        Self { before }
    }
}

impl Drop for BlockedSignals {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the set was initialised by `pthread_sigmask`, and a null
        // pointer says that the present mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}
