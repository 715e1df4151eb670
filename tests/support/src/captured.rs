//! Captures the log of a test.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
};

/// One line of a captured log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The other fields.
    pub fields: BTreeMap<&'static str, String>,
}

impl LogLine {
    /// A field; empty if the line does not have it.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// The lines that were logged on this thread at `info` and above.
#[derive(Debug)]
pub struct CapturedLog {
    lines: Lines,
    _installed: DefaultGuard,
}

type Lines = Arc<Mutex<Vec<LogLine>>>;

impl CapturedLog {
    /// Starts to capture, until it is dropped.
    #[must_use]
    pub fn start() -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()).with_filter(LevelFilter::INFO));
        Self { lines, _installed: tracing::subscriber::set_default(subscriber) }
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines of one level.
    #[must_use]
    pub fn at(&self, level: Level) -> Vec<LogLine> {
        self.lines().into_iter().filter(|line| line.level == level).collect()
    }

    /// The messages of one level.
    #[must_use]
    pub fn messages(&self, level: Level) -> Vec<String> {
        self.at(level).into_iter().map(|line| line.message).collect()
    }
}

struct Keep(Lines);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        self.0.lock().unwrap().push(LogLine { level: *event.metadata().level(), message, fields: fields.0 });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
