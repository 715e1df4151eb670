//! The process of a RabbitMQ node, its folder, ports and epmd.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    builder::{BrokerBuilder, TlsMaterial},
    control::{self, Control},
    folder::DataFolder,
    installation::RabbitVersion,
    ports::PortLease,
    process::{ProcessTree, User, spawn},
};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Everything below blocks the calling thread.
#[derive(Debug)]
pub(crate) struct Node {
    // First, because fields are dropped in order: the process must end before its folder, epmd and ports are released.
    process: Mutex<Option<ProcessTree>>,
    pub(crate) control: Control,
    amqp: PortLease,
    tls: Option<PortLease>,
    distribution: PortLease,
    pub(crate) cookie: String,
    version: RabbitVersion,
    user: Option<User>,
    schedulers: usize,
    folder: DataFolder,
    pub(crate) epmd: Arc<Epmd>,
}

impl Node {
    pub(crate) fn prepare(settings: BrokerBuilder) -> Self {
        let version = settings.version;
        let user = version.user();
        let folder = DataFolder::create();
        let epmd = || Arc::new(Epmd::start(version, user, folder.path()));
        let (epmd, cookie) = settings.beside.unwrap_or_else(|| (epmd(), "oxlotest".to_owned()));
        let node = Self {
            process: Mutex::new(None),
            control: Control::new(folder.path().join("control")),
            amqp: PortLease::take(),
            tls: settings.tls.is_some().then(PortLease::take),
            distribution: PortLease::take(),
            cookie,
            version,
            user,
            schedulers: settings.schedulers,
            folder,
            epmd,
        };
        node.write_files(&settings.config, &settings.plugins, settings.tls.as_ref());
        node
    }

    fn write_files(&self, extra: &str, plugins: &[String], tls: Option<&TlsMaterial>) {
        let mut config = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             distribution.listener.interface = 127.0.0.1\n\
             log.console = true\n\
             log.console.level = info\n\
             log.file = false\n\
             disk_free_limit.absolute = 50MB\n",
            self.amqp.port()
        );
        if let (Some(tls), Some(port)) = (tls, &self.tls) {
            let path = |name: &str| self.folder.path().join(name).display().to_string();
            config += &format!(
                "listeners.ssl.1 = 127.0.0.1:{}\n\
                 ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
                 ssl_options.verify = {}\nssl_options.fail_if_no_peer_cert = {}\n",
                port.port(),
                path("ca.pem"),
                path("cert.pem"),
                path("key.pem"),
                if tls.require_client_cert { "verify_peer" } else { "verify_none" },
                tls.require_client_cert,
            );
            self.write("ca.pem", &tls.ca);
            self.write("cert.pem", &tls.cert);
            self.write("key.pem", &tls.key);
        }
        config += extra;
        self.write("rabbitmq.conf", &config);
        self.write("rabbitmq-env.conf", "");
        self.write("enabled_plugins", &format!("[{}].\n", plugins.join(",")));
        self.write("control.erl", control::SCRIPT);
        self.write(".erlang.cookie", &self.cookie);
        let cookie = self.folder.path().join(".erlang.cookie");
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).expect("cannot protect the cookie");
        self.give(self.folder.path());
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self.give(&path);
    }

    fn give(&self, path: &Path) {
        if let Some(user) = self.user {
            chown(path, Some(user.uid), Some(user.gid))
                .unwrap_or_else(|error| panic!("cannot give {} to user rabbitmq: {error}", path.display()));
        }
    }

    /// Starts the node's process and waits until clients can log in.
    pub(crate) fn boot(&self) {
        let _ = fs::remove_file(self.control.socket());
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("cannot open the broker's log");
        let mut command = self.command("rabbitmq-server");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("cannot share the broker's log"))
            .stderr(log)
            .env("OXLO_CONTROL", self.control.socket())
            // The server's script then becomes the Erlang node instead of waiting for it as a shell.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            // Bound schedulers would put every test broker on the same core.
            .env("RABBITMQ_SCHEDULER_BIND_TYPE", "u")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                format!(
                    "+S {0}:{0} +SDio 2 -noinput -eval file:eval(\"{1}\")",
                    self.schedulers,
                    self.folder.path().join("control.erl").display()
                ),
            );
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start setpriv (Debian: util-linux): {error}"));
        let mut process = ProcessTree::new(child);
        let deadline = Instant::now() + START_LIMIT;
        while !self.accepts_clients() {
            if let Some(status) = process.exited() {
                panic!("rabbitmq-server ended with {status} while it started; its log:\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "rabbitmq-server did not start within {START_LIMIT:?}; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        *self.process() = Some(process);
    }

    fn accepts_clients(&self) -> bool {
        self.control.try_eval("rabbit_boot_state:get().").is_ok_and(|state| state == "\"ready\"")
            && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).is_ok()
    }

    /// One of RabbitMQ's programs, targeting this node.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = self.folder.path();
        let mut command = self.version.command(program, self.user, path);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("RABBITMQ_") || name.starts_with("ERL_")) {
                command.env_remove(name);
            }
        }
        command
            .process_group(0)
            .current_dir(path)
            .env("HOME", path)
            .env("ERL_EPMD_PORT", self.epmd.port.port().to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", self.node_name())
            .env("RABBITMQ_DIST_PORT", self.distribution.port().to_string())
            .env("RABBITMQ_MNESIA_BASE", path.join("data"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_PID_FILE", path.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path.join("advanced.config"))
            .env("RABBITMQ_CONF_ENV_FILE", path.join("rabbitmq-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("enabled_plugins"));
        command
    }

    pub(crate) fn version(&self) -> RabbitVersion {
        self.version
    }

    pub(crate) fn port(&self) -> u16 {
        self.amqp.port()
    }

    pub(crate) fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(PortLease::port)
    }

    pub(crate) fn node_name(&self) -> String {
        format!("oxlo-{}@localhost", self.port())
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    /// The process, or `None` while it is stopped.
    pub(crate) fn process(&self) -> MutexGuard<'_, Option<ProcessTree>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kill(&self) {
        drop(self.process().take());
    }

    pub(crate) fn stop(&self) {
        let Some(mut process) = self.process().take() else { return };
        process.signal(Signal::TERM);
        let stopped = process.wait(STOP_LIMIT);
        assert!(stopped.is_some(), "the broker did not stop within {STOP_LIMIT:?}; its log:\n{}", self.log());
    }

    pub(crate) fn ctl(&self, arguments: &[String]) -> String {
        let mut command = self.command("rabbitmqctl");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start setpriv (Debian: util-linux): {error}"));
        let output = child.wait_with_output().expect("cannot read from rabbitmqctl");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "rabbitmqctl {arguments:?} ended with {}:\n{out}{err}", output.status);
        out.into_owned()
    }
}

/// The port mapper of one node, or of the nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Epmd {
    _process: ProcessTree,
    port: PortLease,
}

impl Epmd {
    fn start(version: RabbitVersion, user: Option<User>, folder: &Path) -> Self {
        let port = PortLease::take();
        let mut command = version.command("epmd", user, folder);
        command.args(["-port", &port.port().to_string(), "-address", "127.0.0.1"]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start setpriv (Debian: util-linux): {error}"));
        let mut process = ProcessTree::new(child);
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port.port())).is_err() {
            if let Some(status) = process.exited() {
                panic!(
                    "epmd ended with {status}; it comes with Erlang: apt-get install rabbitmq-server, or run ./tests/run"
                );
            }
            assert!(Instant::now() < deadline, "epmd does not listen on port {}", port.port());
            thread::sleep(Duration::from_millis(5));
        }
        Self { _process: process, port }
    }
}
