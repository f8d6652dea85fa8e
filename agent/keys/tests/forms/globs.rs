//! Laws of globs.

use hobnob_keys::Glob;
use proptest::prelude::*;

/// The definition: `*` stands for any characters, `?` for one.
fn by_definition(glob: &[char], name: &[char]) -> bool {
    match glob {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|len| by_definition(rest, &name[len..])),
        [first, rest @ ..] => match name {
            [next, others @ ..] => (*first == '?' || first == next) && by_definition(rest, others),
            [] => false,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_glob_matches_by_its_definition(glob in "[abé*?]{1,8}", name in "[abé]{0,10}") {
        let parsed: Glob = glob.parse().unwrap();
        let [glob, chars] = [&glob, &name].map(|text| text.chars().collect::<Vec<_>>());
        prop_assert_eq!(parsed.matches(&name), by_definition(&glob, &chars));
    }

    #[test]
    fn a_glob_without_wildcards_matches_itself_only(glob in "[a-c]{1,4}", name in "[a-c]{1,4}") {
        prop_assert_eq!(glob.parse::<Glob>().unwrap().matches(&name), glob == name);
    }
}

#[test]
fn the_worst_glob_takes_no_time() {
    let glob: Glob = "*a".repeat(64).parse().unwrap();
    assert!(!glob.matches(&format!("{}b", "a".repeat(4_096))));
}
