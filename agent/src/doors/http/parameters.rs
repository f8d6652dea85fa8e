//! The parameters of a request, behind its path.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::config::nearest;

/// The most parameters of one request.
const MAX_PARAMETERS: usize = 128;

/// A parameter that cannot be read. The message goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadParameter(pub(super) String);

impl fmt::Display for BadParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parameters that were not taken yet, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query of a URI: `a=1&b=x%20y`.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, BadParameter> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut read = Vec::new();
        for pair in pairs {
            if read.len() == MAX_PARAMETERS {
                let message = format!("a request has {MAX_PARAMETERS} parameters at most");
                return Err(BadParameter(message));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            read.push((decode(name)?, decode(value)?));
        }
        Ok(Self(read))
    }

    /// Takes every value of a parameter, in their order.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let of_name = self.0.extract_if(.., |(given, _)| given == name);
        of_name.map(|(_, value)| value).collect()
    }

    /// Takes a parameter that may be given once.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, BadParameter> {
        let mut all = self.all(name);
        if all.len() > 1 {
            return Err(BadParameter(format!(
                "the parameter `{name}` is given {} times",
                all.len()
            )));
        }
        Ok(all.pop())
    }

    /// Takes a whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, BadParameter> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| {
            BadParameter(format!("the parameter `{name}` takes a whole number from 0 on"))
        })
    }

    /// Takes a flag: `a`, `a=1` and `a=true` set it, `a=0` and `a=false` do not.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, BadParameter> {
        match self.text(name)?.as_deref() {
            None => Ok(false),
            Some("") => Ok(true),
            Some(text) => truth(text)
                .ok_or_else(|| BadParameter(format!("the parameter `{name}` takes true or false"))),
        }
    }

    /// Refuses what was not taken. `known` are the names that could have been given.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), BadParameter> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        let name = hobnob_api::names::printable(name);
        let rest = match (nearest(&name, known.iter().copied()), known.is_empty()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, false) => format!("there are {}", known.join(", ")),
            (None, true) => "this request has none".to_owned(),
        };
        Err(BadParameter(format!("there is no parameter `{name}` here; {rest}")))
    }
}

/// Whether a text says true or false, in the words that Consul takes.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Decodes a name or a value of a query.
fn decode(text: &str) -> Result<String, BadParameter> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| BadParameter("a parameter is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Parameters {
        Parameters::parse(Some(query)).expect("parameters")
    }

    #[test]
    fn parameters_are_decoded_and_taken_once() {
        let mut read = read("service=w%C3%A9b+1&tag=a&tag=b%3Dc&all&strict=false&count=7");
        assert_eq!(read.text("service"), Ok(Some("wéb 1".to_owned())));
        assert_eq!(read.all("tag"), ["a", "b=c"]);
        assert_eq!(
            (read.flag("all"), read.flag("strict"), read.flag("no")),
            (Ok(true), Ok(false), Ok(false))
        );
        assert_eq!((read.number("count"), read.number("count")), (Ok(Some(7)), Ok(None)));
        assert_eq!(read.finish(&["service"]), Ok(()));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        assert!(read("a=1&a=2").text("a").expect_err("twice").0.contains("`a` is given 2 times"));
        assert!(read("n=-1").number("n").expect_err("below").0.contains("`n`"));
        assert!(read("f=maybe").flag("f").expect_err("a word").0.contains("`f`"));
        assert!(Parameters::parse(Some("a=%ff")).is_err());
        let many = "a&".repeat(MAX_PARAMETERS + 1);
        assert!(Parameters::parse(Some(&many)).is_err());
        let unknown = read("servise=web").finish(&["service", "all"]).expect_err("unknown");
        assert_eq!(unknown.0, "there is no parameter `servise` here; did you mean `service`?");
    }
}
