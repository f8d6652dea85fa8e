//! Numbers with their nouns.

/// `1 agent`, `2 agents`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
