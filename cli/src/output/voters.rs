//! The table of voters.

use hobnob_api::{Voter, Voters};

use super::table::{Column, Style, cell, member_status, render};

/// The table of `hobnob voters`: the voters, and while a change is under way, those that are to be.
pub(crate) fn voters(voters: &Voters, style: Style) -> String {
    const COLUMNS: [Column; 4] = [
        Column::whole("VOTER"),
        Column::kept("STATUS"),
        Column::kept("SET"),
        Column::hidden("NODE ID", 1),
    ];
    let row = |voter: &Voter, set: String| {
        let status = voter.status.map_or(cell("unknown"), |status| {
            let (word, colour) = member_status(status);
            cell(word).fg(colour)
        });
        vec![cell(&voter.name), status, cell(set), cell(voter.node_id)]
    };
    let number = voters.configuration;
    let now = voters.voters.iter().map(|voter| row(voter, number.to_string()));
    let next = voters.next_voters.iter().map(|voter| row(voter, format!("{} (next)", number + 1)));
    render(&COLUMNS, now.chain(next), style)
}

#[cfg(test)]
mod tests {
    use hobnob_api::{MemberStatus, NodeId, OwnVoter, VoterStanding};

    use super::*;

    #[test]
    fn voters_of_both_sets_have_lines() {
        let voter =
            |name: &str, id, status| Voter { name: name.to_owned(), node_id: NodeId(id), status };
        let told = Voters {
            datacenter: "dc1".to_owned(),
            configuration: 3,
            voters: vec![voter("a1", 1, Some(MemberStatus::Alive)), voter("a2", 2, None)],
            next_voters: vec![voter("a3", 3, Some(MemberStatus::Down))],
            own: OwnVoter { standing: VoterStanding::Votes, registers: 7, problem: None },
        };
        let table = voters(&told, Style::PLAIN);
        let lines: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a1", "alive", "3", "0000000000000001"]);
        assert_eq!(lines[2], ["a2", "unknown", "3", "0000000000000002"]);
        assert_eq!(lines[3], ["a3", "down", "4", "(next)", "0000000000000003"]);
    }
}
