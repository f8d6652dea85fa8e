//! What a node counts: everything that it sent, learned, dropped, repaired and refused.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a node counted since its start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Adds what another part of the node counted.
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

/// What a node holds at one moment, each under a limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Members that it knows, itself included.
    pub members: usize,
    /// Versions of its own that nobody was told of yet.
    pub own_unsent: u64,
    /// Rumors in the queue, those included that were sent to some already.
    pub rumors: usize,
    /// Datagrams that answer pulls and wait to be sent.
    pub answers: usize,
    /// Origins of which it knows that something is missing.
    pub gaps: usize,
    /// Sync sessions, opened and served.
    pub sessions: usize,
    /// Suspects that it accuses, or looks for signs of life in.
    pub indirect_probes: usize,
    /// News of members that wait to be told.
    pub member_updates: usize,
    /// Records of a later version: kept and passed on, shown nowhere.
    pub unknown_records: usize,
}

counters! {
    /// Datagrams taken.
    datagrams_received,
    /// Datagrams sent.
    datagrams_sent,
    /// Bytes of the datagrams sent.
    datagram_bytes_sent,
    /// Datagrams that were noise, corrupted, or of another protocol.
    datagrams_malformed,
    /// Datagrams of another version, or in a form of this version that nothing is known of.
    datagrams_other_version,
    /// Datagrams in one of the sealed forms, which this version does not open.
    datagrams_sealed,
    /// Datagrams of other clusters.
    datagrams_other_cluster,
    /// Messages that do not decode or break a rule.
    messages_invalid,
    /// Messages, frames and elements of lists skipped because their kind is unknown: a later version speaks.
    kinds_unknown,
    /// Records that brought news and that this version does not understand. They are kept and passed on.
    records_unknown,
    /// Verdicts on us that were not refuted at once, because we took a new epoch a moment ago.
    refutations_put_off,
    /// Updates of members that foca refused.
    swim_refused,
    /// Messages from nodes that are no active members.
    strangers_ignored,
    /// Messages ignored because we gave way to another agent under our node id.
    ignored_while_silent,
    /// Claims to our node id sent to another agent that goes by it.
    claims_sent,
    /// Members told that their node id is elsewhere, too.
    duplicates_told,
    /// Times that we fell silent for another agent under our node id.
    gave_way,
    /// Pings sent.
    pings_sent,
    /// Pings answered.
    pings_answered,
    /// Members that we accused.
    accusations,
    /// Accusations that ended with a sign of life.
    acquittals,
    /// Questions of and to referees that found no room.
    indirect_probes_refused,
    /// Signs of life sought by stream.
    stream_probes_sent,
    /// Signs of life given by stream.
    stream_probes_answered,
    /// Hosts of suspects that were asked whether they answer for them.
    tcp_probes_sent,
    /// Hosts that did while we wanted to know.
    tcp_probes_answered,
    /// Verdicts passed.
    verdicts_passed,
    /// Verdicts of others believed.
    verdicts_believed,
    /// Verdicts of others that we doubted, since the condemned had just answered us.
    verdicts_doubted,
    /// Verdicts on ourselves that we refuted.
    verdicts_refuted,
    /// News of members sent, one for each receiver.
    member_updates_sent,
    /// News of members not passed on because too many waited.
    member_updates_dropped,
    /// Views compared with another member's.
    views_compared,
    /// Members that we lost and asked whether they are there.
    lost_asked,
    /// Times that our own loop came more than a tenth of a second late.
    stalls,
    /// Hellos said to seeds.
    hellos_sent,
    /// Hellos answered with an invitation to a session.
    welcomes_sent,
    /// Hellos answered with the address of another member, because too many came at once.
    referrals_sent,
    /// Such answers followed.
    referrals_followed,
    /// Rumors received.
    rumors_received,
    /// Rumors that told something new.
    rumors_news,
    /// Rumors sent, one for each receiver.
    rumors_sent,
    /// Rumors dropped before all their copies were sent, because the queue was full; repair brings them.
    rumors_dropped,
    /// Digests sent.
    digests_sent,
    /// Digests received that equal ours.
    digests_equal,
    /// Digests received that differ from ours.
    digests_different,
    /// Pulls sent.
    pulls_sent,
    /// Pulls answered.
    pulls_answered,
    /// Pulls not answered because too many answers were waiting.
    pulls_refused,
    /// Gaps that were too large for pulls; a session takes over.
    pulls_too_large,
    /// Gaps that no pull closed in time; a session takes over.
    pulls_given_up,
    /// Gaps not noted because too many were open.
    gaps_dropped,
    /// Sessions opened.
    sessions_opened,
    /// Sessions served.
    sessions_served,
    /// Sessions refused because too many were open.
    sessions_refused,
    /// Sessions refused because the same peer had another one open.
    sessions_duplicate,
    /// Sessions refused because the peer belongs to another cluster.
    sessions_other_cluster,
    /// Sessions that ended because both sides held the same.
    sessions_equal,
    /// Sessions that ended well.
    sessions_completed,
    /// Sessions that broke.
    sessions_failed,
    /// Deltas that a session brought.
    session_deltas_received,
    /// Frames of sessions for repair that had to wait for bandwidth.
    frames_put_off,
    /// Bytes of the frames sent.
    frame_bytes_sent,
    /// Deltas refused because there are too many origins.
    origins_refused,
    /// Dead origins whose records were dropped after their time.
    origins_reaped,
    /// Origins whose records were dropped because an operator asked for it here.
    origins_force_left,
    /// Origin tombstones that had to go because there were too many.
    origin_tombstones_given_up,
    /// Writes of ours that were refused.
    writes_refused,
    /// Messages that did not fit their datagram or frame; a bug when it is not 0.
    encoding_errors,
}
