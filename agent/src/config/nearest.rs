//! The known key or name that somebody may have meant.

/// A smaller likeness than these is chance: of the letters in their order, and of the edits between the words.
const ALIKE: (f64, f64) = (0.7, 0.6);

/// The letters of the longer word that one slip takes. In a shorter word a slip makes another word: `db` is not `dc`.
const LETTERS_PER_SLIP: usize = 3;
/// The letters from which on a word may be the beginning of the one that is meant.
const MIN_BEGUN: usize = 3;

/// The known word that is most like this one, if one is. Edits count twice: letters that change places are the commonest slip.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .into_iter()
        .filter_map(|known| {
            let known_plain = plain(known);
            let length = word.chars().count().max(known_plain.chars().count());
            let is_begun = word.len() >= MIN_BEGUN && known_plain.starts_with(&*word);
            let slips = strsim::damerau_levenshtein(&word, &known_plain);
            if slips > length / LETTERS_PER_SLIP && !is_begun {
                return None;
            }
            let letters = strsim::jaro_winkler(&word, &plain(known));
            let edits = strsim::normalized_damerau_levenshtein(&word, &plain(known));
            (letters >= ALIKE.0 || edits >= ALIKE.1).then_some((letters + 2.0 * edits, known))
        })
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// The error for a key that is not known.
pub(crate) fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let meant = nearest(key, known).map(|known| format!("; did you mean `{known}`?"));
    format!("there is no key `{key}`{}", meant.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_unless_all_are_far() {
        let known = ["db", "bind", "sync_bind", "join", "data_dir", "web-1"];
        for (word, meant) in [
            ("bnd", Some("bind")),
            ("Sync-Bind", Some("sync_bind")),
            ("datadir", Some("data_dir")),
            ("jion", Some("join")),
            ("colour", None),
            ("wbe-1", Some("web-1")),
            ("dc", None),
            ("joi", Some("join")),
            ("jxxn", None),
            ("data", Some("data_dir")),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
