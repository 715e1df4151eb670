//! The section `[oslo_messaging_metrics]`.

use oxlo_transport::{TransportBuilder, TransportError};

use super::{BOOLEAN, ProcessConfig, ProcessConfigError, Resolved, boolean};

const SECTION: &str = "oslo_messaging_metrics";
const KNOWN: &[&str] = &[
    "metrics_enabled",
    "metrics_buffer_size",
    "metrics_socket_file",
    "metrics_process_name",
    "metrics_thread_stop_timeout",
];

impl ProcessConfig {
    /// Enables the datagrams of oslo.metrics, if configured.
    pub(super) fn oslo_metrics(&self, builder: TransportBuilder) -> Result<TransportBuilder, TransportError> {
        self.check_known(SECTION, KNOWN)?;
        if let Some(value) = self.of_metrics("metrics_thread_stop_timeout")? {
            let reason = "the sending thread never delays the end of the process; remove the option";
            return Err(value.refused("metrics_thread_stop_timeout", reason).into());
        }
        let Some(enabled) = self.of_metrics("metrics_enabled")? else { return Ok(builder) };
        match boolean(&enabled.text) {
            Some(true) => self.enable_metrics(&enabled, builder),
            Some(false) => Ok(builder),
            None => Err(enabled.refused("metrics_enabled", BOOLEAN).into()),
        }
    }

    fn of_metrics(&self, option: &str) -> Result<Option<Resolved>, ProcessConfigError> {
        self.resolved(SECTION, option)
    }

    #[cfg(feature = "oslo-metrics")]
    fn enable_metrics(
        &self,
        enabled: &Resolved,
        builder: TransportBuilder,
    ) -> Result<TransportBuilder, TransportError> {
        let mut options = oxlo_transport::oslo_metrics::OsloMetricsOptions::new();
        if let Some(value) = self.of_metrics("metrics_buffer_size")? {
            let size = value.text.trim().parse().ok().filter(|size: &usize| (1..=MOST).contains(size));
            let refused = || value.refused("metrics_buffer_size", format!("expected an integer from 1 to {MOST}"));
            options = options.buffer_size(size.ok_or_else(refused)?);
        }
        if let Some(value) = self.of_metrics("metrics_socket_file")? {
            options = options.socket(&value.text);
        }
        if let Some(value) = self.of_metrics("metrics_process_name")? {
            options = options.process_name(value.text.as_str());
        }
        let metrics = options
            .start()
            .map_err(|error| enabled.refused("metrics_enabled", format!("cannot start the sending thread: {error}")))?;
        Ok(builder.oslo_metrics(metrics))
    }

    #[cfg(not(feature = "oslo-metrics"))]
    #[allow(clippy::unused_self)]
    fn enable_metrics(&self, enabled: &Resolved, _: TransportBuilder) -> Result<TransportBuilder, TransportError> {
        let reason = "this program was built without oslo.metrics; enable the cargo feature `oslo-metrics`, or set the option to false";
        Err(enabled.refused("metrics_enabled", reason).into())
    }
}

/// The maximum buffer size; the queue is allocated when it is created.
#[cfg(feature = "oslo-metrics")]
const MOST: usize = 100_000;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use oxlo_transport::Registry;

    use crate::ProcessConfig;

    fn refusal(options: &str) -> Option<String> {
        let config = format!("[oslo_messaging_metrics]\n{options}\n");
        let config = ProcessConfig::new().text(&config, "nova.conf").unwrap();
        config.oslo_metrics(Registry::new().transport("none://")).err().map(|error| error.to_string())
    }

    #[test]
    fn errors_have_file_and_line() {
        assert_eq!(refusal("metrics_enabled = false\nmetrics_buffer_size = 10"), None);
        for (options, expected) in [
            (
                "metrics_enabled = maybe",
                "`metrics_enabled`: expected one of 1, true, yes, on, 0, false, no, off (nova.conf:2)",
            ),
            ("metrics_enable = 1", "`metrics_enable`: no such option, did you mean metrics_enabled?"),
            (
                "metrics_thread_stop_timeout = 3",
                "`metrics_thread_stop_timeout`: the sending thread never delays the end of the process; remove the option",
            ),
        ] {
            let refusal = refusal(options).unwrap();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    #[cfg(feature = "oslo-metrics")]
    fn metrics_are_enabled() {
        let on = "metrics_enabled = true\nmetrics_socket_file = /nowhere/socket\nmetrics_process_name = nova";
        assert_eq!(refusal(on), None);
        let refusal = refusal("metrics_enabled = true\nmetrics_buffer_size = 0").unwrap();
        assert_eq!(refusal, "option `metrics_buffer_size`: expected an integer from 1 to 100000 (nova.conf:3)");
    }

    #[test]
    #[cfg(not(feature = "oslo-metrics"))]
    fn a_build_without_the_feature_refuses_the_option() {
        let refusal = refusal("metrics_enabled = true").unwrap();
        assert!(refusal.contains("enable the cargo feature `oslo-metrics`"), "{refusal}");
    }
}
