//! The state of the process of a segment.

/// The state of the process of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessState {
    /// It exists, and may run.
    Running,
    /// It was stopped, by a signal or by a debugger.
    Stopped,
    /// It has ended in an orderly way.
    Ended,
    /// It has died: by a signal, or by an exit that ran no handlers.
    Dead,
}

impl ProcessState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Running, Self::Stopped, Self::Ended, Self::Dead];

    /// Returns the state in one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Dead => "dead",
        }
    }

    /// Returns true if the process exists.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Stopped)
    }
}
