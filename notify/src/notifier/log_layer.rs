//! Sends log records as notifications.

use std::{fmt, path::Path, thread};

use oxlo_transport::{Context, Priority};
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer;

use super::{handle::Notifier, quiet};

/// Crates whose records are left out: they log while they send notifications, and each record would cause the next.
const CARRIERS: [&str; 6] = ["oxlo", "lapin", "amq_protocol", "rustls", "fe2o3_amqp", "oslo.messaging.notification"];

/// Sends log records as notifications, as Python's `LoggingNotificationHandler` does: event `logrecord`, under the
/// priority of the level, with the same twelve fields.
///
/// `name` is the record's target, `funcName` its module, `extra` its fields except the message; `exc_info` is null. Trace
/// records are left out, because Python has no such priority. Records of the crates that carry notifications are left out
/// because each would cause another one, and so are records of code that a notifier calls: its drivers,
/// [`on_lost`](crate::NotifierBuilder::on_lost), the `Debug` of a record's fields. The layer never waits: the notifier's
/// overflow policy applies to a full queue.
///
/// ```no_run
/// # fn example(notifier: oxlo_notify::Notifier) {
/// use oxlo_notify::LogLayer;
/// use tracing_subscriber::{filter::LevelFilter, prelude::*};
///
/// tracing_subscriber::registry().with(LogLayer::new(notifier).with_filter(LevelFilter::ERROR)).init();
/// # }
/// ```
#[derive(Debug)]
pub struct LogLayer {
    notifier: Notifier,
    process_name: String,
}

impl LogLayer {
    /// Sends log records by this notifier.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        let process_name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { notifier, process_name }
    }
}

impl<S: Subscriber> layer::Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let metadata = event.metadata();
        if is_carrier(metadata.target()) {
            return;
        }
        let Some(_inside) = quiet::enter_first() else { return };
        let (priority, number, level) = match *metadata.level() {
            Level::ERROR => (Priority::Error, 40, "ERROR"),
            Level::WARN => (Priority::Warn, 30, "WARNING"),
            Level::INFO => (Priority::Info, 20, "INFO"),
            Level::DEBUG => (Priority::Debug, 10, "DEBUG"),
            Level::TRACE => return,
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let bridged = Bridged::take(&mut fields.others);
        let target = bridged.target.as_deref().unwrap_or(metadata.target());
        if is_carrier(target) {
            return;
        }
        let record = json!({
            "name": target,
            "levelno": number,
            "levelname": level,
            "exc_info": null,
            "pathname": bridged.file.as_deref().or(metadata.file()),
            "lineno": bridged.line.or(metadata.line().map(u64::from)),
            "msg": fields.message,
            "funcName": bridged.module.as_deref().or(metadata.module_path()),
            "thread": thread_number(),
            "processName": self.process_name,
            "process": std::process::id(),
            "extra": if fields.others.is_empty() { Value::Null } else { Value::Object(fields.others) },
        });
        // A record that cannot be sent is counted; logging that would cause the next record.
        let _ = self.notifier.try_notify(priority, &Context::new(), "logrecord", record);
    }
}

/// Whether a record is written by a crate that carries notifications.
fn is_carrier(target: &str) -> bool {
    let carries = |name: &&str| {
        target.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || !rest.starts_with(char::is_alphanumeric))
    };
    CARRIERS.iter().any(carries)
}

/// The origin of a record of the `log` crate. `tracing-log` forwards these records with one target, and the origin in fields.
#[derive(Default)]
struct Bridged {
    target: Option<String>,
    module: Option<String>,
    file: Option<String>,
    line: Option<u64>,
}

impl Bridged {
    fn take(fields: &mut Map<String, Value>) -> Self {
        if !fields.contains_key("log.target") {
            return Self::default();
        }
        let mut text = |name| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (target, module, file) = (text("log.target"), text("log.module_path"), text("log.file"));
        Self { target, module, file, line: fields.remove("log.line").as_ref().and_then(Value::as_u64) }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

/// Python sends a number. The standard library formats thread ids only as text.
fn thread_number() -> u64 {
    let text = format!("{:?}", thread::current().id());
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
}
