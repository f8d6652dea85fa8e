//! How calls to a service are made, as an instance asks for it.

use super::Text;
use super::rules::{RecordError, name};
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// How calls to a service are made.
///
/// It is the last field of the settings, and takes no bytes while none is given. Fields of later versions belong in its own
/// block. Bytes that are no such block are those of a version that put something else here, and are skipped.
///
/// Few instances have any, so all others pay for a pointer only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Calling(Option<Box<CallSettings>>);

/// The settings of calls. One that is not given is left to the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallSettings {
    /// Milliseconds of a call, retries included, until the head of its answer.
    pub call_timeout_ms: Option<u64>,
    /// Milliseconds of one try of a call that may be made twice.
    pub try_timeout_ms: Option<u64>,
    /// Milliseconds until a connection stands.
    pub connect_timeout_ms: Option<u64>,
    /// Further tries of one call.
    pub max_retries: Option<u32>,
    /// The name of the protocol. A reader ignores a name that it does not know.
    pub protocol: Option<Text>,
}
block!(CallSettings { call_timeout_ms, try_timeout_ms, connect_timeout_ms, max_retries, protocol });

impl From<CallSettings> for Calling {
    fn from(settings: CallSettings) -> Self {
        let is_any = settings != CallSettings::default();
        Self(is_any.then(|| Box::new(settings)))
    }
}

impl Calling {
    /// The settings, if any is given.
    #[must_use]
    pub fn settings(&self) -> Option<&CallSettings> {
        self.0.as_deref()
    }

    pub(super) fn validate(&self) -> Result<(), RecordError> {
        let Some(settings) = self.settings() else { return Ok(()) };
        for (field, value) in [
            ("call_timeout_ms", settings.call_timeout_ms),
            ("try_timeout_ms", settings.try_timeout_ms),
            ("connect_timeout_ms", settings.connect_timeout_ms),
        ] {
            if value.is_some_and(|value| !(1..=86_400_000).contains(&value)) {
                return Err(RecordError::OutOfRange { field, expected: "from 1 ms to a day" });
            }
        }
        if settings.max_retries.is_some_and(|retries| retries > 10) {
            let (field, expected) = ("max_retries", "from 0 to 10");
            return Err(RecordError::OutOfRange { field, expected });
        }
        settings.protocol.iter().try_for_each(|protocol| name("protocol", protocol))
    }
}

impl Field for Calling {
    fn put(&self, writer: &mut Writer) {
        if let Some(settings) = self.settings() {
            Field::put(settings, writer);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(CallSettings::take(reader).map(Self::from).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::record::Balancing;
    use crate::codec::{decode, encode};

    #[test]
    fn it_takes_no_bytes_while_nothing_is_given() {
        assert!(encode(&Calling::default()).is_empty());
        assert_eq!(Calling::from(CallSettings::default()), Calling::default());
        let given = CallSettings {
            call_timeout_ms: Some(2_000),
            max_retries: Some(0),
            protocol: Some("http2".into()),
            ..CallSettings::default()
        };
        let balancing = Balancing { calling: given.into(), ..Balancing::default() };
        assert_eq!(decode::<Balancing>(&encode(&balancing)), Ok(balancing));
        let other = Calling::take(&mut Reader::new(b"something else"));
        assert_eq!(other, Ok(Calling::default()), "of a later version");
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        let fault = |change: fn(&mut CallSettings)| {
            let mut settings = CallSettings::default();
            change(&mut settings);
            Calling::from(settings).validate().map_err(|error| error.to_string())
        };
        for (named, change) in [
            ("call_timeout_ms", (|s| s.call_timeout_ms = Some(0)) as fn(&mut CallSettings)),
            ("try_timeout_ms", |s| s.try_timeout_ms = Some(86_400_001)),
            ("connect_timeout_ms", |s| s.connect_timeout_ms = Some(0)),
            ("max_retries", |s| s.max_retries = Some(11)),
            ("protocol", |s| s.protocol = Some("".into())),
        ] {
            let told = fault(change).expect_err(named);
            assert!(told.starts_with(named), "{told}");
        }
        assert_eq!(fault(|s| s.max_retries = Some(10)), Ok(()));
    }
}
