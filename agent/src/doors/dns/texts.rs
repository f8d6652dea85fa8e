//! Records of texts: `key=value`, each by itself (RFC 1464).

use std::borrow::Cow;

use domain::rdata::Txt;
use domain::rdata::rfc1035::TxtBuilder;

use super::answer::Data;

/// Bytes of a text (RFC 1035, section 3.3). Longer ones are left out.
const MAX_TEXT_BYTES: usize = 255;
/// Texts of a record. Further ones are left out.
const MAX_TEXTS: usize = 64;

/// A record of these texts, without those whose value is empty. `None` if none is left.
pub(super) fn text_record<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Data> {
    let texts = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let texts = texts.map(|(key, value)| format!("{}={value}", quoted(key)));
    let mut builder = TxtBuilder::<Vec<u8>>::new();
    let mut is_empty = true;
    for text in texts.filter(|text| text.len() <= MAX_TEXT_BYTES).take(MAX_TEXTS) {
        builder.append_slice(text.as_bytes()).ok()?;
        builder.close_charstr();
        is_empty = false;
    }
    let record: Txt<Vec<u8>> = builder.finish().ok()?;
    (!is_empty).then_some(Data::Txt(record))
}

/// A key whose own `=` are told apart from the one behind it (RFC 1464, section 2).
fn quoted(key: &str) -> Cow<'_, str> {
    match key.contains(['`', '=']) {
        true => key.replace('`', "``").replace('=', "`=").into(),
        false => key.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(data: &Data) -> Vec<String> {
        let Data::Txt(record) = data else { panic!("{data:?} has no texts") };
        record.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    #[test]
    fn each_pair_is_a_text_and_what_does_not_fit_is_left_out() {
        let (fits, long) = ("x".repeat(253), "x".repeat(254));
        let record = text_record([("a", "1"), ("none", ""), ("b", &long), ("c", &fits)]);
        let expected = ["a=1".to_owned(), format!("c={fits}")];
        assert_eq!(texts(&record.expect("two of them")), expected);
        assert_eq!(text_record([("none", "")]), None);
        let keys = text_record([("a=b", "1=2"), ("c`", "3")]).expect("two of them");
        assert_eq!(texts(&keys), ["a`=b=1=2", "c``=3"], "as RFC 1464 quotes");
        let many = vec![("a", "1"); 1_000];
        assert_eq!(texts(&text_record(many).expect("some")).len(), MAX_TEXTS);
    }
}
