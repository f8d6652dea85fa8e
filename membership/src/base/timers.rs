//! A table of the timers of a node, and the one deadline that follows from them.
//!
//! A part of a node sets a timer when its state changes, and stops it when there is nothing to wait for. So the next
//! deadline is found without a search through the state. The model is quinn-proto's `connection/timer.rs`.

use crate::base::time::Time;

macro_rules! timers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a part of a node wants to be called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Timer {
            $($(#[$doc])* $name,)*
        }

        impl Timer {
            const COUNT: usize = [$(Self::$name),*].len();
        }
    };
}

timers! {
    /// foca forgets a member that has been down for long.
    Swim,
    /// Member updates are sent.
    MemberUpdates,
    /// The detector pings, asks referees, or passes verdicts.
    Detector,
    /// A member is connected to, or an exit case goes on.
    Exit,
    /// A stream probe is given up.
    StreamProbe,
    /// A regular call. Its delay tells the length of a stall.
    Pulse,
    /// The node becomes isolated if it hears no member until then.
    Isolation,
    /// A lost member is asked whether it is back.
    AskLost,
    /// The node says hello at the seeds.
    Hello,
    /// The node says hello at one address of a lost member.
    Reunion,
    /// A silent node asks whether the duplicate that it gave way to is still there.
    Claim,
    /// Rumors or answers wait, and there is bandwidth for them.
    Send,
    /// A gateway did not answer a tell.
    Tell,
    /// Rumors for another datacenter wait, and there is bandwidth for them.
    Forward,
    /// A beat is sent to another datacenter.
    Beat,
    /// A gap is pulled from another datacenter.
    FarPull,
    /// A digest is sent.
    Digest,
    /// A gap is pulled.
    Pull,
    /// Members are asked whether they have applied our records, or the time for that is over.
    Confirm,
    /// A session is checked for a stall, or gets bandwidth that it waited for.
    Session,
    /// A periodic sync session is opened.
    PeriodicSync,
    /// A sync session is opened because of a difference.
    RequestedSync,
    /// Dead origins whose retention has ended are dropped.
    Retention,
    /// The node tells once more that it leaves.
    Leave,
    /// The node tells of the members that were lost together.
    Losses,
    /// The node tells of the members that came back together.
    Returns,
    /// The node tells of members that have its name.
    Namesakes,
    /// The node says hello where it looks for other datacenters.
    WanHello,
    /// A gateway looks at other datacenters, and asks those that are silent.
    WanLook,
    /// Losses of another datacenter that were held are believed.
    WanHeld,
    /// An exchange of tables is given up.
    WanExchange,
    /// Members of other datacenters that went down long ago are forgotten.
    WanForget,
}

/// When each timer is due, if it is set.
#[derive(Debug)]
pub(crate) struct Timers {
    /// [`UNSET`] stands for a timer that is not set. The first timer is looked for after every input, and a minimum of plain
    /// numbers costs a third of one of options.
    due: [Time; Timer::COUNT],
}

/// A time that never comes.
const UNSET: Time = Time::from_micros(u64::MAX);

impl Default for Timers {
    fn default() -> Self {
        Self { due: [UNSET; Timer::COUNT] }
    }
}

impl Timers {
    /// Sets a timer, whether or not it was set.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.put(timer, Some(at));
    }

    /// Stops a timer, if it is set.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.put(timer, None);
    }

    /// Sets a timer if there is a time for it, and stops it if not.
    pub(crate) fn put(&mut self, timer: Timer, at: Option<Time>) {
        self.due[timer as usize] = at.unwrap_or(UNSET);
    }

    /// When a timer is due.
    pub(crate) fn get(&self, timer: Timer) -> Option<Time> {
        Some(self.due[timer as usize]).filter(|due| *due != UNSET)
    }

    /// Whether a timer is set and its time has come.
    pub(crate) fn is_expired(&self, timer: Timer, now: Time) -> bool {
        self.due[timer as usize] <= now
    }

    /// When the first timer is due.
    pub(crate) fn next(&self) -> Option<Time> {
        let first = self.due.iter().fold(UNSET, |first, due| first.min(*due));
        Some(first).filter(|due| *due != UNSET)
    }

    /// When the first of some timers is due.
    pub(crate) fn next_of(&self, timers: &[Timer]) -> Option<Time> {
        timers.iter().filter_map(|timer| self.get(*timer)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    #[test]
    fn the_first_timer_that_is_set_decides() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Leave, MS(9));
        timers.set(Timer::Swim, MS(7));
        timers.set(Timer::Pull, MS(3));
        assert_eq!(timers.next(), Some(MS(3)));
        assert_eq!(timers.next_of(&[Timer::Swim, Timer::Leave, Timer::Hello]), Some(MS(7)));
        timers.stop(Timer::Pull);
        timers.put(Timer::Swim, None);
        assert_eq!(timers.next(), Some(MS(9)));
    }

    #[test]
    fn a_timer_expires_at_the_time_that_was_set_last() {
        let mut timers = Timers::default();
        assert!(!timers.is_expired(Timer::Digest, MS(5)), "it is not set");
        timers.set(Timer::Digest, MS(5));
        assert!(!timers.is_expired(Timer::Digest, MS(4)));
        assert!(timers.is_expired(Timer::Digest, MS(5)));
        timers.set(Timer::Digest, MS(8));
        assert!(!timers.is_expired(Timer::Digest, MS(5)));
    }
}
