//! What a proxy offers, and where.

use std::str::FromStr;

use hobnob_proxy::Endpoint;

/// A service, and where it is offered: `web=127.0.0.1:9001`, `api=unix:/run/api.sock`, `db=tcp:127.0.0.1:5432`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(super) service: String,
    pub(super) listen: Listen,
}

/// Where a service is offered, and whether to all of TCP or to HTTP alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(super) is_tcp: bool,
    pub(super) endpoint: Endpoint,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_tcp, rest) = match text.strip_prefix("tcp:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let expected = |_| {
            "expected an address such as 127.0.0.1:9001 or unix:/run/api.sock, with tcp: before it for other \
             protocols than HTTP"
                .to_owned()
        };
        Ok(Self { is_tcp, endpoint: rest.parse().map_err(expected)? })
    }
}

impl FromStr for Offer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, listen) = text
            .split_once('=')
            .filter(|(service, _)| !service.is_empty())
            .ok_or("expected SERVICE=ADDRESS, such as web=127.0.0.1:9001, api=unix:/run/api.sock or db=tcp:127.0.0.1:5432")?;
        hobnob_api::names::check("service", service).map_err(|error| error.to_string())?;
        Ok(Self { service: service.to_owned(), listen: listen.parse()? })
    }
}
