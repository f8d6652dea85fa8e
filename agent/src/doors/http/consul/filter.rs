//! The part of Consul's filter language that is served: `Service.Tags contains "a" and not Service.Meta.tier == "x"`.

use std::fmt;

use serde_json::Value;

/// What a filter may name. `*` stands for any key of a map, and `[]` marks a list.
pub(super) type Selectors = &'static [&'static str];

/// The deepest nesting of a filter.
const MAX_DEPTH: usize = 16;

/// A filter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadFilter(String);

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A condition for the values of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    /// One of the values that the path leads to is this text.
    Equal(Vec<String>, String),
    /// One of them is a list or a map that has this text.
    Contains(Vec<String>, String),
    /// There is none, or it has nothing in it.
    Empty(Vec<String>),
}

impl Filter {
    /// Reads a filter that names nothing but these.
    pub(super) fn parse(text: &str, selectors: Selectors) -> Result<Self, BadFilter> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, selectors, depth: 0 };
        let filter = parser.or()?;
        match parser.peek() {
            None => Ok(filter),
            Some(token) => Err(BadFilter(format!("`{token}` is not expected there"))),
        }
    }

    /// Whether it leaves a value in.
    pub(super) fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Or(any) => any.iter().any(|one| one.matches(value)),
            Self::And(all) => all.iter().all(|one| one.matches(value)),
            Self::Not(one) => !one.matches(value),
            Self::Equal(path, text) => reached(value, path).iter().any(|found| is(found, text)),
            Self::Contains(path, text) => reached(value, path).iter().any(|found| match found {
                Value::Array(items) => items.iter().any(|item| is(item, text)),
                Value::Object(fields) => fields.contains_key(text),
                _ => false,
            }),
            Self::Empty(path) => reached(value, path).iter().all(|found| match found {
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::String(text) => text.is_empty(),
                Value::Null => true,
                _ => false,
            }),
        }
    }
}

/// The values that a path leads to: of a list on the way, those of all its items.
fn reached<'a>(value: &'a Value, path: &[String]) -> Vec<&'a Value> {
    let Some((key, rest)) = path.split_first() else { return vec![value] };
    match value {
        Value::Array(items) => items.iter().flat_map(|item| reached(item, path)).collect(),
        Value::Object(fields) => {
            fields.get(key).map(|field| reached(field, rest)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn is(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Number(found) => found.to_string() == text,
        Value::Bool(found) => found.to_string() == text,
        _ => false,
    }
}

/// A part of a filter's text.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// A text in quotes.
    Quoted(String),
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => {
                f.write_str(&hobnob_api::names::printable(text))
            }
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, BadFilter> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let sign = ["==", "!=", "(", ")", "[", "]"].into_iter().find(|sign| rest.starts_with(sign));
        if let Some(sign) = sign {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '"' || first == '`' {
            let (quoted, after) = quoted(&rest[1..], first)?;
            tokens.push(Token::Quoted(quoted));
            rest = after;
        } else {
            let is_part = |c: char| !(c.is_whitespace() || "()[]=!\"`".contains(c));
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(BadFilter(format!("`{first}` is not expected there")));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str, quote: char) -> Result<(String, &str), BadFilter> {
    let (mut read, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((read, &text[at + c.len_utf8()..])),
            // Between backticks nothing is escaped.
            '\\' if quote == '"' => read.extend(chars.next().map(|(_, c)| c)),
            c => read.push(c),
        }
    }
    Err(BadFilter("a text has no closing quote".to_owned()))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    selectors: Selectors,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, BadFilter> {
        let token = self.peek().cloned();
        self.at += 1;
        token.ok_or_else(|| BadFilter("it ends too early".to_owned()))
    }

    /// Whether this word comes next; it is taken then.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = match self.peek() {
            Some(Token::Word(next)) => next.eq_ignore_ascii_case(word),
            Some(Token::Sign(next)) => *next == word,
            _ => false,
        };
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, word: &str) -> Result<(), BadFilter> {
        if self.takes(word) {
            return Ok(());
        }
        let found = self.next()?;
        Err(BadFilter(format!("`{word}` is expected, and not `{found}`")))
    }

    fn or(&mut self) -> Result<Filter, BadFilter> {
        let mut any = vec![self.and()?];
        while self.takes("or") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Filter::Or(any) })
    }

    fn and(&mut self) -> Result<Filter, BadFilter> {
        let mut all = vec![self.not()?];
        while self.takes("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
    }

    fn not(&mut self) -> Result<Filter, BadFilter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(BadFilter(format!("it is nested more than {MAX_DEPTH} times")));
        }
        let read = if self.takes("not") {
            Filter::Not(Box::new(self.not()?))
        } else if self.takes("(") {
            let inner = self.or()?;
            self.expect(")")?;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(read)
    }

    fn condition(&mut self) -> Result<Filter, BadFilter> {
        let first = self.next()?;
        let is_text = matches!(first, Token::Quoted(_));
        let negates =
            self.is_word("not") && (self.is_word_at(1, "in") || self.is_word_at(1, "contains"));
        self.at += usize::from(negates);
        let negated = |filter| if negates { Filter::Not(Box::new(filter)) } else { filter };
        if self.takes("in") {
            let text = text_of(first)?;
            let next = self.next()?;
            return Ok(negated(Filter::Contains(self.selector(next, Kind::Many)?, text)));
        }
        if is_text {
            return Err(BadFilter(format!("behind the text `{first}`, `in` is expected")));
        }
        let selector = first.clone();
        let selector = self.brackets(selector)?;
        if self.takes("contains") {
            let path = self.check(&selector, Kind::Many)?;
            return Ok(negated(Filter::Contains(path, text_of(self.next()?)?)));
        }
        if self.takes("is") {
            let negates = self.takes("not");
            self.expect("empty")?;
            let empty = Filter::Empty(self.check(&selector, Kind::Any)?);
            return Ok(if negates { Filter::Not(Box::new(empty)) } else { empty });
        }
        let negates = self.takes("!=");
        if !negates {
            if self.takes("matches") {
                return Err(BadFilter(
                    "`matches` is not served: use ==, contains, in or is empty".to_owned(),
                ));
            }
            self.expect("==")?;
        }
        let path = self.check(&selector, Kind::One)?;
        let equal = Filter::Equal(path, text_of(self.next()?)?);
        Ok(if negates { Filter::Not(Box::new(equal)) } else { equal })
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        matches!(token, Some(Token::Word(next)) if next.eq_ignore_ascii_case(word))
    }

    fn selector(&mut self, token: Token, kind: Kind) -> Result<Vec<String>, BadFilter> {
        let selector = self.brackets(token)?;
        self.check(&selector, kind)
    }

    /// A selector with what follows in brackets: `Meta["key"]`.
    fn brackets(&mut self, token: Token) -> Result<String, BadFilter> {
        let Token::Word(mut selector) = token else {
            return Err(BadFilter(format!(
                "a selector such as `Service.Tags` is expected, and not `{token}`"
            )));
        };
        while self.takes("[") {
            selector.push('.');
            selector.push_str(&text_of(self.next()?)?);
            self.expect("]")?;
        }
        Ok(selector)
    }

    /// The path of a selector that may stand here.
    fn check(&self, selector: &str, kind: Kind) -> Result<Vec<String>, BadFilter> {
        for known in self.selectors {
            let (known, is_list) = match known.strip_suffix("[]") {
                Some(known) => (known, true),
                None => (*known, false),
            };
            let (path, found) = match known.strip_suffix(".*") {
                None if selector == known => {
                    (split(known), if is_list { Kind::Many } else { Kind::One })
                }
                None => continue,
                Some(map) if selector == map => (split(map), Kind::Many),
                Some(map) => {
                    match selector.strip_prefix(map).and_then(|rest| rest.strip_prefix('.')) {
                        // A key of a map may have points.
                        Some(key) => {
                            (split(map).into_iter().chain([key.to_owned()]).collect(), Kind::One)
                        }
                        None => continue,
                    }
                }
            };
            return match (kind, found) {
                (Kind::One, Kind::Many) => Err(BadFilter(format!(
                    "`{selector}` is a list or a map: use contains, in or is empty"
                ))),
                (Kind::Many, Kind::One) => {
                    Err(BadFilter(format!("`{selector}` is no list and no map: use == or !=")))
                }
                _ => Ok(path),
            };
        }
        let selector = hobnob_api::names::printable(selector).into_owned();
        Err(BadFilter(format!(
            "`{selector}` is no selector here; there are {}",
            self.selectors.join(", ")
        )))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    One,
    Many,
    Any,
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn text_of(token: Token) -> Result<String, BadFilter> {
    match token {
        Token::Word(text) | Token::Quoted(text) => Ok(text),
        Token::Sign(sign) => Err(BadFilter(format!("a text is expected, and not `{sign}`"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SELECTORS: Selectors =
        &["Node.Node", "Service.Tags[]", "Service.Meta.*", "Service.Port", "Checks.Status"];

    fn leaves(filter: &str) -> bool {
        let value = json!({
            "Node": {"Node": "a1"},
            "Service": {"Tags": ["blue", "v 2"], "Meta": {"tier": "x", "a.b": "y"}, "Port": 80},
            "Checks": [{"Status": "passing"}, {"Status": "warning"}]
        });
        Filter::parse(filter, SELECTORS).expect(filter).matches(&value)
    }

    #[test]
    fn conditions_are_those_of_consul() {
        for filter in [
            r#"Node.Node == "a1""#,
            "Node.Node == a1",
            r#"Service.Tags contains "v 2""#,
            "blue in Service.Tags",
            r#""red" not in Service.Tags"#,
            "Service.Tags not contains red",
            "Service.Meta.tier == x and Service.Port == 80",
            r#"Service.Meta["a.b"] == `y` and Service.Meta.a.b == y"#,
            "tier in Service.Meta",
            "Service.Meta.none != x",
            "Service.Meta.none is empty and Service.Tags is not empty",
            "Checks.Status == warning",
            "not (Node.Node == a2 or Service.Port == 81)",
            "Node.Node == a2 or Node.Node == a1 and not Service.Port != 80",
        ] {
            assert!(leaves(filter), "{filter}");
            assert!(!leaves(&format!("not ({filter})")), "not: {filter}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let deep = "not ".repeat(MAX_DEPTH + 1) + "Node.Node == a";
        for (filter, says) in [
            ("Service.Tag contains a", "`Service.Tag` is no selector here"),
            ("Service.Tags == a", "use contains"),
            ("Node.Node contains a", "use =="),
            ("Node.Node matches a", "`matches` is not served"),
            ("Node.Node", "ends too early"),
            ("Node.Node == \"a", "no closing quote"),
            ("(Node.Node == a", "ends too early"),
            ("Node.Node == a b", "`b` is not expected"),
            ("\"a\" == Node.Node", "`in` is expected"),
            ("= a", "`=` is not expected"),
            (&deep, "nested more than"),
        ] {
            let refused = Filter::parse(filter, SELECTORS).expect_err(filter);
            assert!(refused.0.contains(says), "{filter}: {refused}");
        }
    }

    #[test]
    fn no_damage_of_a_filter_is_more_than_a_refusal() {
        let filter =
            r#"not (Service.Tags contains "é" or `x` in Service.Meta) and Node.Node is not empty"#;
        for (at, c) in filter.char_indices() {
            let _ = Filter::parse(&filter[..at], SELECTORS);
            let without = format!("{}{}", &filter[..at], &filter[at + c.len_utf8()..]);
            let _ = Filter::parse(&without, SELECTORS);
        }
    }
}
