//! Label selectors, which clients send as text.

use hobnob_balancer::Selector;

/// Reads the bytes as a selector, and matches it with some labels and with none.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Selector>() {
        Ok(selector) => {
            let labels = [("tier", "a"), ("env", "prod"), ("cores", "8"), ("canary", "")];
            let value = |name: &str| labels.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let all = selector.matches(value);
            assert!(all || !selector.is_empty(), "nothing is required and it does not match");
            selector.matches(|_| None);
        }
        Err(error) => {
            assert!(error.at <= text.len(), "{error}");
            assert!(text.is_char_boundary(error.at), "{error}");
        }
    }
}
