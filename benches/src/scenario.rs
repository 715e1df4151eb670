//! What is measured: scenarios, and the peers that run each.

use crate::process::Program::{self, Python, Rust};

/// One thing that is measured, with everyone who does it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Tasks, each of which does one call after the other.
    pub(crate) tasks: usize,
    pub(crate) cast: bool,
    /// The first is oxlo; the others are what it is compared with.
    pub(crate) entries: &'static [Entry],
}

/// A pair of ends.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) client: Program,
    /// `None`: the client has it in its own process.
    pub(crate) server: Option<Program>,
}

const fn peer(name: &'static str, client: Program, server: Program) -> Entry {
    Entry { name, client, server: Some(server) }
}

/// Both ends in the client's process.
const fn local(name: &'static str, client: Program) -> Entry {
    Entry { name, client, server: None }
}

const SINK: Program = Rust("sink");
const OXLO: Entry = peer("oxlo", Rust("oxlo"), Rust("oxlo"));
const TUTORIAL: Entry = peer("lapin-tutorial", Rust("lapin-tutorial"), Rust("lapin-tutorial"));
const CONFIRMED: Entry = peer("lapin-confirmed", Rust("lapin-confirmed"), Rust("lapin-confirmed"));
const AMQPRS: Entry = peer("amqprs", Rust("amqprs"), Rust("amqprs"));
const PYTHON: Entry = peer("python", Python("oslo_client"), Python("oslo_server"));
const NO_ACK: Entry = peer("lapin-noack", Rust("lapin-noack"), Rust("lapin-noack"));

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "calls64",
        title: "calls, 64 in flight",
        tasks: 64,
        cast: false,
        entries: &[OXLO, TUTORIAL, CONFIRMED, NO_ACK, AMQPRS, PYTHON],
    },
    Scenario {
        name: "calls1",
        title: "calls, one at a time",
        tasks: 1,
        cast: false,
        entries: &[OXLO, TUTORIAL, CONFIRMED, NO_ACK, AMQPRS, PYTHON],
    },
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
        name: "memory",
        title: "calls within the process, 64 in flight",
        tasks: 64,
        cast: false,
        entries: &[local("oxlo", Rust("memory")), local("channels", Rust("channels")), local("tarpc", Rust("tarpc"))],
    },
];
