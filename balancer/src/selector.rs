//! Label selectors.

use std::{fmt, str::FromStr};

/// The longest selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 4096;

/// The most requirements in a selector, and the most values in one requirement.
pub const REQUIREMENTS_MAX: usize = 64;

/// A selector over labels in the syntax of Kubernetes (reference documentation, "Labels and Selectors", section "Label
/// selectors"), parsed once and matched often.
///
/// Requirements are joined by commas and must all hold: `app=web` (or `==`), `env!=prod`, `tier in (front,back)`,
/// `tier notin (test)`, `canary` (present), `!canary` (absent), `cores>4`, `cores<64`. As in Kubernetes, `!=` and `notin`
/// also hold if the label is absent. The empty selector matches everything.
///
/// ```
/// use hobnob_balancer::Selector;
/// use std::collections::BTreeMap;
///
/// let selector: Selector = "app=web,env!=prod,tier in (a,b),!canary".parse()?;
/// let labels = BTreeMap::from([("app", "web"), ("tier", "b")]);
/// assert!(selector.matches(|name| labels.get(name).copied()));
/// # Ok::<(), hobnob_balancer::SelectorError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    label: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Present,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

/// A text that is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad selector `{selector}` at byte {at}: expected {reason}")]
pub struct SelectorError {
    /// The text, cut to 80 characters.
    pub selector: String,
    /// The first byte that does not fit.
    pub at: usize,
    /// The syntax expected at that byte.
    pub reason: &'static str,
}

impl Selector {
    /// Whether labels satisfy every requirement. `label` returns the value of a label, if there is one.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.test.holds(label(&requirement.label)))
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => {
                value.is_some_and(|value| values.iter().any(|known| known == value))
            }
            Self::NotIn(values) => {
                value.is_none_or(|value| values.iter().all(|known| known != value))
            }
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(selector: &str) -> Result<Self, SelectorError> {
        let mut reader = Reader { text: selector, at: 0 };
        reader.selector().map_err(|reason| SelectorError {
            selector: selector.chars().take(80).collect(),
            at: reader.at,
            reason,
        })
    }
}

/// A position in the text of a selector.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn selector(&mut self) -> Result<Selector, &'static str> {
        if self.text.len() > SELECTOR_BYTES_MAX {
            return Err("a selector of at most 4096 bytes");
        }
        let mut requirements = Vec::new();
        if self.rest().trim().is_empty() {
            return Ok(Selector::default());
        }
        loop {
            requirements.push(self.requirement()?);
            if requirements.len() > REQUIREMENTS_MAX {
                return Err("at most 64 requirements");
            }
            if self.rest().trim().is_empty() {
                return Ok(Selector { requirements });
            }
            if !self.take(",") {
                return Err("a comma or the end");
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, &'static str> {
        if self.take("!") {
            return Ok(Requirement { label: self.label()?, test: Test::Absent });
        }
        let label = self.label()?;
        let test = if self.take("==") || self.take("=") {
            Test::In(vec![self.word().to_owned()])
        } else if self.take("!=") {
            Test::NotIn(vec![self.word().to_owned()])
        } else if self.take(">") {
            Test::Above(self.number()?)
        } else if self.take("<") {
            Test::Below(self.number()?)
        } else {
            let start = self.at;
            match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                "" => Test::Present,
                _ => {
                    self.at = start;
                    return Err("an operator: = == != > < in notin");
                }
            }
        };
        Ok(Requirement { label, test })
    }

    fn label(&mut self) -> Result<String, &'static str> {
        match self.word() {
            "" => Err("the name of a label"),
            label => Ok(label.to_owned()),
        }
    }

    fn number(&mut self) -> Result<i64, &'static str> {
        self.word().parse().map_err(|_| "a whole number")
    }

    fn values(&mut self) -> Result<Vec<String>, &'static str> {
        if !self.take("(") {
            return Err("an opening parenthesis");
        }
        let mut values = Vec::new();
        loop {
            values.push(self.word().to_owned());
            if values.len() > REQUIREMENTS_MAX {
                return Err("at most 64 values");
            }
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err("a comma or a closing parenthesis");
            }
        }
    }

    /// The letters, digits and `-_./` that follow white space; may be empty.
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let part_of_word = |c: char| c.is_alphanumeric() || "-_./".contains(c);
        let end = self.rest().find(|c| !part_of_word(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..end];
        self.at += end;
        word
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Requirement { label, test }) in self.requirements.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Present => write!(f, "{label}")?,
                Test::Absent => write!(f, "!{label}")?,
                Test::In(values) if values.len() == 1 => write!(f, "{label}={}", values[0])?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{label}!={}", values[0])?,
                Test::In(values) => write!(f, "{label} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{label} notin ({})", values.join(","))?,
                Test::Above(bound) => write!(f, "{label}>{bound}")?,
                Test::Below(bound) => write!(f, "{label}<{bound}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &'static str)]) -> bool {
        let selector: Selector = selector.parse().unwrap();
        selector.matches(|name| {
            labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn every_operator() {
        let web = &[("app", "web"), ("tier", "a"), ("cores", "8")];
        let holds = "|app=web|app==web|app = web|app!=db|x!=y|tier in (a,b)|tier in(b, a )|tier notin (b,c)|x notin (a)";
        holds.split('|').for_each(|selector| assert!(matches(selector, web), "{selector}"));
        for selector in "app|!x|cores>4|cores<9|app=web,tier=a,!x|example.com/app!=1".split('|') {
            assert!(matches(selector, web), "{selector}");
        }
        for selector in
            "app=db|app!=web|tier in (b)|tier notin (a)|x|!app|x=|cores>8|app>1|app=web,x"
                .split('|')
        {
            assert!(!matches(selector, web), "{selector}");
        }
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (selector, at, reason) in [
            ("app=web,", 8, "the name of a label"),
            ("tier in a", 8, "an opening parenthesis"),
            ("tier in (a", 10, "a comma or a closing parenthesis"),
            ("tier within (a)", 5, "an operator: = == != > < in notin"),
            ("app=web env=prod", 8, "a comma or the end"),
            ("cores>many", 10, "a whole number"),
            ("=web", 0, "the name of a label"),
        ] {
            let error = selector.parse::<Selector>().unwrap_err();
            assert_eq!((error.at, error.reason), (at, reason), "{selector}");
        }
    }

    #[test]
    fn a_selector_prints_as_it_reads() {
        for text in
            ["", "app=web,env!=prod,tier in (a,b),!canary,x", "y notin (a,b),cores>4,cores<-1"]
        {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
    }
}
