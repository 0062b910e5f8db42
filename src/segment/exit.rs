//! The exit status of a process that is not a child of this one.

use super::format::{HEADER, header};
use super::proc::{self, ProcessStat};
use rustix::fd::OwnedFd;
use rustix::ioctl::{self, Updater, opcode};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// `struct pidfd_info` of `linux/pidfd.h`, in its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: since Linux 6.15.
const EXIT: u64 = 1 << 3;

/// `PIDFD_GET_INFO`.
const GET_INFO: ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xFF, 11);

/// Remembers a process, to be asked about its end.
pub(super) struct ExitWatch(OwnedFd);

impl ExitWatch {
    /// Begins to watch the process of a header. `None` if it does not exist, or is in
    /// another namespace of process ids.
    pub(super) fn of(header: &[u64; HEADER]) -> Option<Self> {
        if header[header::PID_NAMESPACE] != proc::pid_namespace() {
            return None;
        }
        let pid = i32::try_from(header[header::PID]).ok()?;
        let watch = Self(pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?);
        // Afterwards: the process that has this id now is that of the header.
        let stat = ProcessStat::of(&pid.to_string())?;
        (stat.start_time == header[header::START_TIME]).then_some(watch)
    }

    /// Returns the exit status, if the process has ended, its parent has taken note of
    /// it, and the kernel tells.
    #[allow(unsafe_code)]
    pub(super) fn status(&self) -> Option<ExitStatus> {
        let mut info = PidfdInfo {
            mask: EXIT,
            ..PidfdInfo::default()
        };
        // SAFETY: the opcode says the length of `info`, and the kernel writes no more.
        // Other descriptors refuse it.
        let asked = unsafe { ioctl::ioctl(&self.0, Updater::<GET_INFO, _>::new(&mut info)) };
        let is_known = asked.is_ok() && info.mask & EXIT != 0;
        is_known.then(|| ExitStatus::from_raw(info.exit_code))
    }
}
