//! Protocol bugs that can be switched on, to show that the simulator's checkers find them.
//!
//! Without the feature `mutants` there is nothing here but a constant `false`: no production binary has the bugs, and
//! none pays for asking. With it, one bug at a time is switched on for the calling thread.

/// A realistic bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub, dead_code))]
pub enum Mutant {
    /// A suspect does not contradict.
    NeverRefute,
    /// The origin drops its tombstones with the next write, and does not say so in its floor.
    ForgetTombstones,
    /// A replica below the floor is sent a suffix, although tombstones in it are gone.
    SuffixBelowFloor,
    /// A range is marked as known before it is applied, and then not applied when it came out of order.
    SeenBeforeApplied,
    /// `known_to` moves over a gap.
    KnownOverGap,
    /// Nobody minds that others remember a higher epoch of ours.
    IgnoreRememberedEpoch,
    /// A delta of an old epoch is applied to the state of a new one.
    ApplyOldEpoch,
    /// What arrives last wins, whatever its version.
    MergeByArrival,
    /// A newer epoch replaces what is served before it is whole.
    ReplaceBeforeWhole,
    /// An isolated node does not knock at its seeds again.
    NeverRetrySeeds,
    /// Gaps are not noted, digests that differ are ignored, and no session is made on its own.
    NeverRepair,
    /// Every fourth change of a member is not passed on.
    DropMemberEvent,
    /// A session sends the first half of each range and says that it was all.
    TruncateSync,
    /// A node that was alone keeps the verdicts that it passed on all others.
    KeepVerdictsAlone,
    /// The name of the cluster is not looked at.
    MixClusters,
    /// Of two agents under one node id neither gives way.
    NeverGiveWay,
    /// Who finds a member silent asks nobody, and decides alone.
    NoReferees,
    /// A sign of life does not end an accusation.
    NeverAcquit,
    /// A verdict is believed by who passed it, and not told.
    VerdictNotSpread,
    /// Who says that it is slow gets no more time than others.
    IgnoreSlowness,
    /// Who stands still gets no more time than who is gone.
    IgnoreTcpProbe,
    /// Nobody minds that others see other members.
    IgnoreMemberDigest,
    /// The last head that a sketch tells is overlooked.
    ForgetLastDifference,
    /// What lies beyond a gap is not compared.
    IgnoreBeyondGaps,
    /// The records of a dead origin are dropped, and nothing refuses them when somebody tells them again.
    ReapWithoutTombstone,
    /// Who dropped the records of a dead origin has no head of it any more.
    TombstoneNotInDigest,
    /// A origin_tombstone does not give way when its origin lives.
    TombstoneForGood,
    /// A origin_tombstone is taken of an origin that lives.
    TombstoneOfTheLiving,
    /// Who holds records of a dead origin keeps them, whatever an operator says elsewhere.
    IgnoreForceLeave,
    /// Who is referred to another member does not knock there.
    IgnoreReferral,
    /// Nobody minds that a member pings from where it is not known to be.
    IgnoreStrangeAddress,
    /// The young ask no more often than others.
    YoungAsOld,
    /// Who hears nothing but that it is down takes that for contact.
    VerdictsAreContact,
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    impl Mutant {
        /// Every bug.
        pub const ALL: &'static [Self] = &[
            Self::NeverRefute,
            Self::ForgetTombstones,
            Self::SuffixBelowFloor,
            Self::SeenBeforeApplied,
            Self::KnownOverGap,
            Self::IgnoreRememberedEpoch,
            Self::ApplyOldEpoch,
            Self::MergeByArrival,
            Self::ReplaceBeforeWhole,
            Self::NeverRetrySeeds,
            Self::NeverRepair,
            Self::DropMemberEvent,
            Self::TruncateSync,
            Self::KeepVerdictsAlone,
            Self::MixClusters,
            Self::NeverGiveWay,
            Self::NoReferees,
            Self::NeverAcquit,
            Self::VerdictNotSpread,
            Self::IgnoreSlowness,
            Self::IgnoreTcpProbe,
            Self::IgnoreMemberDigest,
            Self::ForgetLastDifference,
            Self::IgnoreBeyondGaps,
            Self::ReapWithoutTombstone,
            Self::TombstoneNotInDigest,
            Self::TombstoneForGood,
            Self::TombstoneOfTheLiving,
            Self::IgnoreForceLeave,
            Self::IgnoreReferral,
            Self::IgnoreStrangeAddress,
            Self::YoungAsOld,
            Self::VerdictsAreContact,
        ];

        /// Switches a bug on for this thread, or all off.
        pub fn activate(mutant: Option<Self>) {
            ACTIVE.set(mutant);
        }
    }

    /// Whether this bug is on.
    pub(crate) fn is(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub(crate) use switch::is;

/// Whether this bug is on: never.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
