//! Protocol bugs that can be switched on, to show that the simulator's checkers find them.
//!
//! Without the feature `mutants`, the question whether a bug is on is a constant `false`, so a production binary has no
//! bugs and no cost. With the feature, one bug at a time can be switched on for the calling thread.

/// A realistic bug of the protocol. Each line says what the node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub, dead_code))]
pub enum Mutant {
    /// A node does not refute a verdict on itself.
    NeverRefute,
    /// An origin drops its tombstones with the next write, and does not raise its `gc_floor`.
    ForgetTombstones,
    /// A replica below the `gc_floor` is sent a suffix, although tombstones in it are gone.
    SuffixBelowFloor,
    /// A range is marked as known before it is applied, and is not applied if it came out of order.
    SeenBeforeApplied,
    /// `known_to` moves over a gap.
    KnownOverGap,
    /// A node ignores that peers remember a higher epoch of it.
    IgnoreRememberedEpoch,
    /// A delta of an old epoch is applied to the state of a new one.
    ApplyOldEpoch,
    /// The record that arrives last wins, whatever its version.
    MergeByArrival,
    /// A newer epoch replaces the records that are served before it is complete.
    ReplaceBeforeWhole,
    /// An isolated node does not say hello at its seeds again.
    NeverRetrySeeds,
    /// Gaps are not noted, digests that differ are ignored, and no session is opened for repair.
    NeverRepair,
    /// Every fourth change of a member is not passed on.
    DropMemberEvent,
    /// A session sends the first half of each range and claims that it is complete.
    TruncateSync,
    /// An isolated node keeps the verdicts that it passed on all other members.
    KeepVerdictsAlone,
    /// The name of the cluster is ignored.
    MixClusters,
    /// Neither of two duplicates gives way.
    NeverGiveWay,
    /// An accuser asks no referees, and decides alone.
    NoReferees,
    /// A sign of life does not end a suspicion.
    NeverAcquit,
    /// An accuser believes its verdict, and tells no other member.
    VerdictNotSpread,
    /// A slow suspect gets no longer suspicion timeout than a prompt one.
    IgnoreSlowness,
    /// A stalled suspect gets no longer suspicion timeout than one that is gone.
    IgnoreTcpProbe,
    /// A node ignores that another member has a different view.
    IgnoreMemberDigest,
    /// The last head that a sketch yields is overlooked.
    ForgetLastDifference,
    /// Versions beyond a gap are not compared.
    IgnoreBeyondGaps,
    /// The records of a dead origin are dropped without an origin tombstone, and are taken when a peer sends them
    /// again.
    ReapWithoutTombstone,
    /// A node that dropped the records of a dead origin leaves the head of that origin out of its digest.
    TombstoneNotInDigest,
    /// An origin tombstone stays when its origin turns out to be alive.
    TombstoneForGood,
    /// A node takes an origin tombstone for an origin that is alive.
    TombstoneOfTheLiving,
    /// A node keeps the records of a dead origin, although another node forced the origin to leave.
    IgnoreForceLeave,
    /// A node does not say hello to the member that a referral names.
    IgnoreReferral,
    /// A node ignores that a member pings from an address other than the one it is known by.
    IgnoreStrangeAddress,
    /// A young node pings and compares views no more often than other nodes.
    YoungAsOld,
    /// A node watches five members, whether or not they answer.
    NeverLookFurther,
    /// An accuser waits for the votes of members that are silent themselves.
    CountTheSilent,
    /// A node tells of each member that is lost, and not of many that are lost together.
    NeverGroupLosses,
    /// A mass loss lasts, although its members are back.
    KeepMassLosses,
    /// A node does not notice that others hear a member that does not answer it.
    IgnoreBrokenLinks,
    /// A member whose connections were reset, and that is silent, is convicted.
    ConvictByReset,
    /// A connection that is made and dropped at once acquits a member, as if its process had accepted it.
    AcquitOnAccept,
    /// A node keeps its exit votes to itself.
    KeepExitVotes,
    /// A goodbye before the end of a connection is ignored.
    IgnoreGoodbye,
    /// A connection that our own host cannot make counts as refused.
    OwnErrorsAreRefusals,
    /// A node takes a generation that a member without the role of an operator ordered.
    AnyMemberRotates,
    /// A node does not look whether a datagram came before.
    NoReplayWindow,
    /// A node does not check the MAC of a ping.
    MacNotChecked,
    /// A generation that was replaced opens datagrams for ever.
    OldGenerationForever,
    /// A node tells no other member what is revoked.
    RevocationNotSpread,
    /// A newcomer itself judges, by its own clock, whether its token is valid.
    NewcomerJudgesToken,
    /// A node ignores which services a certificate allows, its own and those of others.
    IgnoreCertificateLimits,
    /// Members of other datacenters are taken into the pool.
    MixDatacenters,
    /// The members of a datacenter that is out of reach are taken for down, whatever their home says.
    UnreachableIsDown,
    /// A gateway goes on telling that a member lives that its datacenter has declared down.
    StaleLiveness,
    /// One gateway alone finds a datacenter out of reach.
    OneGatewayDecides,
    /// A gateway forwards what came from another datacenter.
    LoopWanRumors,
    /// First copies that find no bandwidth between datacenters are dropped.
    BudgetDrops,
    /// Every gateway opens sessions with other datacenters, and not the primary alone.
    AnyGatewayOpens,
    /// Changes above the rate of their origin are dropped instead of held back.
    BreakerDrops,
    /// Changes go over a link at any rate.
    NoRateLimit,
    /// A record that stays in the datacenter of its origin leaves it whole.
    ScopeCrosses,
    /// A strong read takes voters that lack a part of the join to hold it, without writing it back.
    NoWriteBack,
    /// A strong read answers with the join of what a majority told.
    RepliesMerged,
    /// Fewer than half of the voters decide.
    MinorityVotes,
    /// A voter acknowledges before its disk does.
    AckBeforeStored,
    /// A successor decides alone as soon as it is decided itself.
    SkipJoint,
    /// A voter accepts two successors of one configuration.
    TwoSuccessors,
    /// Voters take writes of an earlier life of an origin.
    FenceMissing,
    /// A voter drops the register of an instance that was deregistered.
    VoterDropsTombstone,
    /// A voter with an old image of its disk votes at once.
    RolledBackVotes,
    /// A node that cannot tell whether it accepted a first configuration accepts one.
    ForgetfulFounder,
    /// Acknowledgements count that a voter gave before it lost its disk.
    OldLivesVote,
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    impl Mutant {
        /// Every bug but those of strong reads and writes.
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
            Self::NeverLookFurther,
            Self::CountTheSilent,
            Self::NeverGroupLosses,
            Self::IgnoreBrokenLinks,
            Self::KeepMassLosses,
            Self::ConvictByReset,
            Self::AcquitOnAccept,
            Self::KeepExitVotes,
            Self::IgnoreGoodbye,
            Self::OwnErrorsAreRefusals,
            Self::AnyMemberRotates,
            Self::NoReplayWindow,
            Self::MacNotChecked,
            Self::OldGenerationForever,
            Self::RevocationNotSpread,
            Self::NewcomerJudgesToken,
            Self::IgnoreCertificateLimits,
            Self::MixDatacenters,
            Self::UnreachableIsDown,
            Self::StaleLiveness,
            Self::OneGatewayDecides,
            Self::LoopWanRumors,
            Self::BudgetDrops,
            Self::AnyGatewayOpens,
            Self::BreakerDrops,
            Self::NoRateLimit,
            Self::ScopeCrosses,
        ];

        /// The bugs of strong reads and writes that the simulator finds. [`Self::OldLivesVote`] takes a story of its own.
        pub const QUORUM: &'static [Self] = &[
            Self::NoWriteBack,
            Self::RepliesMerged,
            Self::MinorityVotes,
            Self::AckBeforeStored,
            Self::SkipJoint,
            Self::TwoSuccessors,
            Self::FenceMissing,
            Self::VoterDropsTombstone,
            Self::RolledBackVotes,
            Self::ForgetfulFounder,
        ];

        /// Switches one bug on for this thread, or all bugs off.
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
