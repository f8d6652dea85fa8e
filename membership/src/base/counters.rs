//! The counters of a node: what it sent, learned, dropped, repaired and refused since its start.

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The counters of a node since its start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// The name of every counter, and what it counts.
            pub const HELP: &[(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),*))),*];

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

/// The load of a node at one moment. Each number has a limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Members that the node knows, itself included.
    pub members: usize,
    /// Versions of the node's own records that no rumor has carried yet.
    pub own_unsent: u64,
    /// Rumors in the queue, those included that went to some peers already.
    pub rumors: usize,
    /// Datagrams that answer pulls and wait to be sent.
    pub answers: usize,
    /// Origins with a known gap.
    pub gaps: usize,
    /// Confirmations under way, and questions of others for one that wait.
    pub confirms: usize,
    /// Open sync sessions, both those that the node opened and those that it serves.
    pub sessions: usize,
    /// Members of other datacenters that the node knows.
    pub remote_members: usize,
    /// Exchanges of tables under way.
    pub table_exchanges: usize,
    /// Requests to other members, and of them, under way.
    pub requests: usize,
    /// Addresses at which other datacenters are looked for.
    pub wan_seeds: usize,
    /// Tells that no gateway has answered, and news of origins that wait for a link to another datacenter.
    pub far_news: usize,
    /// Suspicions and indirect probes under way.
    pub indirect_probes: usize,
    /// Members to which a connection is held.
    pub connections_held: usize,
    /// Members whose processes may have exited.
    pub exit_cases: usize,
    /// Member updates that wait to be sent.
    pub member_updates: usize,
    /// Bytes that the records of other origins take.
    pub record_bytes: usize,
    /// Other origins that are no members.
    pub unvouched_origins: usize,
    /// Records of a kind that only a later version knows. They are kept and passed on, and shown nowhere.
    pub records_unknown_now: usize,
    /// Instances that are hidden because their origin may not serve them, or shows no certificate that counts.
    pub instances_hidden_now: usize,
}

counters! {
    /// Datagrams received.
    datagrams_received,
    /// Bytes of the datagrams received.
    datagram_bytes_received,
    /// Datagrams sent.
    datagrams_sent,
    /// Bytes of the datagrams sent.
    datagram_bytes_sent,
    /// Datagrams that were noise, corrupted, or of another protocol.
    datagrams_malformed,
    /// Datagrams of another wire version, or in an unknown form of this version.
    datagrams_other_version,
    /// Datagrams in one of the sealed forms that a node of a clear cluster dropped.
    datagrams_sealed,
    /// Datagrams in the clear that a node of a sealed cluster dropped.
    datagrams_in_clear,
    /// Sealed datagrams of a generation that this node does not hold.
    datagrams_of_unknown_generation,
    /// Sealed datagrams that were made without the keys, were changed, or are for another member.
    datagrams_forged,
    /// Sealed datagrams that came before, or are too old to tell.
    datagrams_replayed,
    /// Datagrams that were not sent because this node holds no generation yet.
    datagrams_without_keys,
    /// Messages that name another sender than the member that sealed them.
    messages_in_anothers_name,
    /// Senders whose counters were forgotten because there were too many.
    replay_windows_given_up,
    /// Sealed datagrams that name a revoked member as their sender.
    datagrams_of_revoked_sender,
    /// Pings of senders of whose counters nothing is known, in a sealed cluster.
    datagrams_of_unknown_sender,
    /// Pongs for which no ping waits, or waits no more.
    pongs_unexpected,
    /// Streams that were not let in: their peer is no member, or there were too many.
    doors_refused,
    /// Streams that were dropped because they did not pass the door in time.
    doors_stalled,
    /// Certificates that do not count, or are of another key.
    certificates_refused,
    /// Newcomers that were not let in because their token is valid no more, or not yet.
    tokens_untimely,
    /// Certificates not verified because too many came in that second.
    verifications_refused,
    /// Certificates in node records that were not verified at once, because many came together.
    verifications_put_off,
    /// Instances that became hidden because their origin may not serve them, or shows no certificate that counts.
    instances_hidden,
    /// Members whose certificates were not remembered because there were too many.
    certificates_given_up,
    /// Proofs of a generation that are wrong.
    proofs_refused,
    /// Streams that carry news of keys alone, and were opened: those of a newcomer at its seeds among them.
    key_streams_opened,
    /// Streams that carry news of keys alone, and were not opened because too many were under way.
    key_streams_refused,
    /// Generations handed to members that lacked them.
    generations_given,
    /// Generations that do not count.
    generations_refused,
    /// Generations that were dropped before their time because there were too many.
    generations_given_up,
    /// Revocations that do not count, or that find no room.
    revocations_refused,
    /// Successions of CA keys that do not count, or that another one outdoes.
    successions_refused,
    /// Force-leaves and prunes that no operator signed, or not for this life of this member.
    orders_refused,
    /// Datagrams of other clusters.
    datagrams_other_cluster,
    /// Messages that do not decode or break a rule.
    messages_invalid,
    /// Questions not answered because the same datagram held another of their kind.
    questions_repeated,
    /// Questions that wait until the address of the member that asked is proven.
    questions_put_off,
    /// Questions dropped because too many waited for the proof of an address.
    questions_given_up,
    /// Pings that ask a member to prove its address.
    proofs_asked,
    /// Answers not sent because the address is not proven, and had got enough because of the same datagram.
    answers_withheld,
    /// Questions to members whether they have applied our records.
    confirms_asked,
    /// Such questions of others that were answered.
    confirms_answered,
    /// Such questions of others that were not kept because too many waited.
    confirms_refused,
    /// Messages, frames and elements of lists skipped because only a later version knows their kind.
    kinds_unknown,
    /// New records of a kind that only a later version knows. They are kept and passed on.
    records_unknown,
    /// Verdicts on this node that were not refuted at once, because it took a new epoch a moment ago.
    refutations_put_off,
    /// Member updates that foca refused.
    swim_refused,
    /// Messages and updates ignored because their sender is no active member, or because they answer no hello or claim
    /// of ours.
    strangers_ignored,
    /// Messages ignored because this node gave way to a duplicate and is silent.
    ignored_while_silent,
    /// Claims to our node id sent to possible duplicates.
    claims_sent,
    /// Times that a node was told that its node id also lives at another address.
    duplicates_told,
    /// Times that this node fell silent to give way to a duplicate.
    gave_way,
    /// Pings sent.
    pings_sent,
    /// Pings answered.
    pings_answered,
    /// Suspicions opened by this node.
    accusations,
    /// Suspicions that ended with a sign of life.
    acquittals,
    /// Times that a link of this node broke: a member answered others, and not this node.
    link_breaks,
    /// Suspicions, requests for votes, checks and stream probes refused because too many were under way.
    indirect_probes_refused,
    /// Stream probes sent.
    stream_probes_sent,
    /// Stream probes answered.
    stream_probes_answered,
    /// TCP probes sent to the hosts of suspects.
    tcp_probes_sent,
    /// TCP probes answered while their indirect probe was still under way.
    tcp_probes_answered,
    /// Held connections to members that closed or were reset without a goodbye.
    exit_hints,
    /// Exit cases that ended because the member showed a sign of life.
    exits_acquitted,
    /// Exit cases that ended with a verdict of this node.
    exits_convicted,
    /// Exit cases not opened because too many were open.
    exit_cases_refused,
    /// Exit votes sent, one for each receiver.
    exit_votes_sent,
    /// Verdicts of this node.
    verdicts_passed,
    /// Those of them that no other member witnessed, and that were told to nobody.
    verdicts_without_witness,
    /// Verdicts of peers that were believed.
    verdicts_believed,
    /// Verdicts of peers that were not believed at once: the member had just answered this node, or the verdict had no
    /// witness.
    verdicts_doubted,
    /// Verdicts on this node itself that it refuted.
    verdicts_refuted,
    /// Datagrams of member updates sent from the queue, one for each receiver.
    member_updates_sent,
    /// Member updates not passed on, because too many waited.
    member_updates_dropped,
    /// Comparisons of views that this node began.
    views_compared,
    /// Hellos sent to find other datacenters.
    wan_hellos_sent,
    /// Hellos of other datacenters answered.
    wan_hellos_answered,
    /// Nodes under the name of our own datacenter that answered where another one was looked for.
    same_datacenter_refused,
    /// Messages of other datacenters that do not belong in this pool.
    pool_messages_of_others,
    /// Exchanges of tables that this node opened.
    table_exchanges_opened,
    /// Exchanges of tables that completed.
    table_exchanges_completed,
    /// Exchanges of tables refused because too many were under way.
    table_exchanges_refused,
    /// Requests sent to other members.
    requests_sent,
    /// Requests of this node that ended without an answer of the other owner.
    requests_failed,
    /// Those of them that had no answer in time.
    requests_timed_out,
    /// Requests of other members that the owner of this node was told of.
    requests_received,
    /// Those of them that were answered.
    requests_answered,
    /// Those of them that the owner did not answer in time.
    requests_unanswered,
    /// Requests, of this node and to it, that were refused because too many were under way, or because their sender is no living member
    /// here.
    requests_refused,
    /// Questions of strong operations sent to other members.
    voter_questions_sent,
    /// Streams for such questions that were opened. Those that follow within ten seconds go on the same one.
    voter_lines_opened,
    /// Questions of strong operations to other members that were refused, or ended without an answer.
    voter_questions_failed,
    /// Questions of other members to this node as a voter.
    voter_questions_received,
    /// Questions, of this node and to it, that were refused because too many were under way, because their sender is no living member
    /// here, or because this node takes no part in strong operations.
    voter_questions_refused,
    /// Questions that this node as a voter did not answer, because too many answers waited for its disk, or its disk failed.
    voter_questions_dropped,
    /// Writes that this node as a voter refused, because it has no room for their registers or origins.
    voter_writes_full,
    /// Registers that reads brought to this node as a voter, and that it took beyond its limits.
    voter_writes_beyond,
    /// Numbers of configurations, rounds and recoveries of voters that were too far ahead to be believed.
    voter_numbers_refused,
    /// Parts of images of other voters that hold what only a later version knows.
    voter_pages_unknown,
    /// Beats of other datacenters by which the round trip was measured.
    round_trips_measured,
    /// Round trips told to our own pool.
    round_trips_told,
    /// Verdicts of other datacenters on members of our own. They have no say in it.
    remote_verdicts_ignored,
    /// Verdicts on members of other datacenters without a basis: on a life that nobody here has seen, or by a member of another
    /// datacenter.
    remote_verdicts_baseless,
    /// Members of other datacenters that found no room in the table.
    remote_members_refused,
    /// Members of other datacenters that two gateways of theirs do not list.
    remote_members_unvouched,
    /// Questions to datacenters that are silent.
    datacenters_asked,
    /// Votes on datacenters sent.
    reach_votes_sent,
    /// Datacenters that went out of reach.
    datacenters_lost,
    /// Messages, entries and streams that were ignored because an operator isolated their datacenter.
    isolated_ignored,
    /// Lost members asked whether they are back.
    lost_asked,
    /// Members that are down and whose address answered this node as another member.
    lives_replaced,
    /// Times that a large part of the members was lost at once.
    mass_losses,
    /// Losses of a large part of the members at once that are over: most of these are back, or gone for good.
    mass_losses_ended,
    /// Times that this node's own loop came a tenth of a second late or more.
    stalls,
    /// Times that a living member with this node's name was not looked at, because there were too many.
    namesakes_ignored,
    /// Hellos sent.
    hellos_sent,
    /// Hellos answered with a welcome, which invites to a session.
    welcomes_sent,
    /// Hellos answered with the address of another member, because too many came at once.
    referrals_sent,
    /// Referrals followed.
    referrals_followed,
    /// Whether the members of the own datacenter turned out to be farther away than those of one network: 0 or 1.
    pool_is_far,
    /// Rumors received.
    rumors_received,
    /// Rumors received that brought something new.
    rumors_news,
    /// Rumors sent, one for each receiver.
    rumors_sent,
    /// Rumors dropped from a full queue before all their copies were sent. Repair brings them.
    rumors_dropped,
    /// Tells of own news sent to gateways, repeated ones included.
    tells_sent,
    /// Tells of others that came to this node as a gateway, for the first time.
    tells_taken,
    /// Tells that went on to a substitute, because a gateway did not answer or does not hear a datacenter.
    tells_substituted,
    /// Tells that nobody answered, or for which there was no gateway or no room. Digests bring the news.
    tells_given_up,
    /// Tells not taken because they are of another origin than their sender.
    tells_refused,
    /// Rumors sent to other datacenters.
    wan_rumors_sent,
    /// Bytes of the datagrams of rumors sent to other datacenters.
    wan_rumor_bytes_sent,
    /// Rumors received from other datacenters.
    wan_rumors_received,
    /// Those of them that brought something new.
    wan_rumors_news,
    /// Changes that a breaker held back on their way to another datacenter.
    wan_changes_held,
    /// Times that changes of an origin were left to repair, because too many origins were held back, or the changes waited for too long.
    wan_held_given_up,
    /// Second copies that were shed because there was no bandwidth for them to another datacenter, or a breaker held the first ones back.
    wan_copies_shed,
    /// Turns of a link after which first copies had to wait for bandwidth.
    wan_links_put_off,
    /// News not forwarded because too many origins waited, or no member may take them. Digests bring them.
    wan_news_dropped,
    /// Beats sent to other datacenters.
    beats_sent,
    /// Those of them with what this node holds. The others are bare signs of life.
    summaries_sent,
    /// Beats of other datacenters that show the same records as ours.
    beats_equal,
    /// Beats of other datacenters that show other records than ours.
    beats_different,
    /// Pulls sent to other datacenters.
    far_pulls_sent,
    /// Gaps in origins of other datacenters that no pull closed. A session closes them.
    far_gaps_given_up,
    /// Gaps in origins of other datacenters that were not noted because too many were open.
    far_gaps_dropped,
    /// Sessions opened with other datacenters.
    far_sessions_opened,
    /// Sessions of other datacenters served.
    far_sessions_served,
    /// Sessions with other datacenters that were not opened or not served because too many were open.
    far_sessions_refused,
    /// Records and tombstones received in sessions with other datacenters.
    far_records_received,
    /// Withheld records sent to other datacenters in place of those that stay here.
    records_withheld,
    /// Deltas from other datacenters not taken because they withhold records of our own one.
    withheld_refused,
    /// Bulk datagrams sent inside the pool, one for each receiver.
    bulk_sent,
    /// Bulk rumors received.
    bulk_received,
    /// Ranges of origins that were not told on as bulk because too many waited. Repair brings them.
    bulk_dropped,
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
    /// Pulls not answered, because too many answers were waiting.
    pulls_refused,
    /// Gaps that were too large for pulls. A session closes them.
    pulls_too_large,
    /// Gaps that no pull closed in time. A session closes them.
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
    /// Served sessions that ended at once, because both sides held the same.
    sessions_equal,
    /// Sessions that completed.
    sessions_completed,
    /// Sessions that failed.
    sessions_failed,
    /// Deltas received in sessions.
    session_deltas_received,
    /// Frames of repair sessions that had to wait for bandwidth.
    frames_put_off,
    /// Bytes of the frames sent.
    frame_bytes_sent,
    /// Bytes of the frames received.
    frame_bytes_received,
    /// Deltas refused because there were too many origins.
    origins_refused,
    /// Deltas refused because the records of their origin, or of all origins, would have taken too many bytes.
    records_refused,
    /// Origins that were no active members and whose records were dropped before their retention ended, because a member
    /// needed their room.
    origins_yielded,
    /// Dead origins whose records were dropped when their retention ended.
    origins_reaped,
    /// Dead origins whose records were dropped because an operator pruned them at this node.
    origins_pruned,
    /// Origins whose records were dropped because an operator forced them to leave at this node.
    origins_force_left,
    /// Origin tombstones forgotten because there were too many.
    origin_tombstones_given_up,
    /// Writes of this node that were refused.
    writes_refused,
    /// Messages that did not fit their datagram or frame. Any value but 0 is a bug.
    encoding_errors,
}
