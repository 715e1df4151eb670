//! The scenarios, and the peers of each.

use crate::{
    brokers::Place,
    process::Program::{self, Python, Rust},
};

/// A scenario with its peers.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The number of tasks that make sequential calls.
    pub(crate) tasks: usize,
    pub(crate) cast: bool,
    /// The first entry is oxlo; the others are its peers.
    pub(crate) entries: &'static [Entry],
}

/// A pair of ends.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The broker between the ends.
    pub(crate) at: Place,
    pub(crate) client: Program,
    /// `None`: the server is in the client's process.
    pub(crate) server: Option<Program>,
}

const fn peer(name: &'static str, client: Program, server: Program) -> Entry {
    Entry { name, at: Place::RabbitMq, client, server: Some(server) }
}

/// The same program at both ends.
const fn pair(name: &'static str, at: Place, program: Program) -> Entry {
    Entry { name, at, client: program, server: Some(program) }
}

/// Both ends in the client's process.
const fn local(name: &'static str, client: Program) -> Entry {
    Entry { name, at: Place::Nowhere, client, server: None }
}

const SINK: Program = Rust("sink");
const OXLO: Entry = pair("oxlo", Place::RabbitMq, Rust("oxlo"));
const TUTORIAL: Entry = pair("lapin-tutorial", Place::RabbitMq, Rust("lapin-tutorial"));
const CONFIRMED: Entry = pair("lapin-confirmed", Place::RabbitMq, Rust("lapin-confirmed"));
const NO_ACK: Entry = pair("lapin-noack", Place::RabbitMq, Rust("lapin-noack"));
const AMQPRS: Entry = pair("amqprs", Place::RabbitMq, Rust("amqprs"));
const PYTHON: Entry = peer("python", Python("oslo_client"), Python("oslo_server"));
#[cfg(feature = "orientation")]
const NATS: Entry = pair("nats", Place::Nats, Rust("nats"));
#[cfg(feature = "orientation")]
const TONIC: Entry = pair("tonic", Place::EndToEnd, Rust("tonic"));

#[cfg(feature = "orientation")]
const CALLS: &[Entry] = &[OXLO, TUTORIAL, CONFIRMED, NO_ACK, AMQPRS, PYTHON, NATS, TONIC];
#[cfg(not(feature = "orientation"))]
const CALLS: &[Entry] = &[OXLO, TUTORIAL, CONFIRMED, NO_ACK, AMQPRS, PYTHON];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "calls64", title: "calls, 64 in flight", tasks: 64, cast: false, entries: CALLS },
    Scenario { name: "calls1", title: "calls, one at a time", tasks: 1, cast: false, entries: CALLS },
    Scenario {
        name: "casts64",
        title: "confirmed casts from 64 tasks",
        tasks: 64,
        cast: true,
        entries: &[
            peer("oxlo", Rust("oxlo"), SINK),
            peer("lapin-confirms", Rust("lapin-confirms"), SINK),
            peer("python", Python("oslo_client"), SINK),
        ],
    },
    Scenario {
        name: "python-callers",
        title: "calls of 16 Python threads",
        tasks: 16,
        cast: false,
        entries: &[peer("oxlo", Python("oslo_client"), Rust("oxlo")), PYTHON],
    },
    Scenario {
        name: "amqp1",
        title: "calls over AMQP 1.0, 64 in flight",
        tasks: 64,
        cast: false,
        entries: &[
            pair("oxlo", Place::RabbitMq4, Rust("oxlo")),
            pair("fe2o3-amqp", Place::RabbitMq4, Rust("fe2o3-amqp")),
            pair("fe2o3-settled", Place::RabbitMq4, Rust("fe2o3-settled")),
        ],
    },
    Scenario {
        name: "memory",
        title: "calls within the process, 64 in flight",
        tasks: 64,
        cast: false,
        entries: &[local("oxlo", Rust("memory")), local("channels", Rust("channels")), local("tarpc", Rust("tarpc"))],
    },
];
