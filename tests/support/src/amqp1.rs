//! Brokers that speak AMQP 1.0 only, or better than RabbitMQ 3 does: ActiveMQ classic and RabbitMQ 4.
//!
//! `tests/support/amqp1/obtain` puts them into `.build/amqp1`; `tests/run` calls it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::{
    broker::Broker,
    folder::DataFolder,
    installation::RabbitVersion,
    ports::PortLease,
    process::{ProcessTree, bound_command, spawn},
    vhost::SharedBroker,
};

const START_LIMIT: Duration = Duration::from_secs(120);

/// A broker product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amqp1Product {
    /// ActiveMQ classic with its AMQP connector; it accepts any login.
    ActiveMq,
    /// RabbitMQ 4 with its native AMQP 1.0; user `guest`, password `guest`. See [`RabbitVersion::V4`].
    RabbitMq4,
}

impl Amqp1Product {
    /// Every product that [`Amqp1Broker`] can start.
    pub const ALL: [Self; 2] = [Self::ActiveMq, Self::RabbitMq4];

    /// The environment variable that names the port of the broker that tests share.
    fn variable(self) -> &'static str {
        match self {
            Self::ActiveMq => "OXLO_TEST_ACTIVEMQ",
            Self::RabbitMq4 => "OXLO_TEST_RABBITMQ4",
        }
    }

    fn url(self, port: u16) -> String {
        match self {
            Self::ActiveMq => format!("amqp://127.0.0.1:{port}"),
            Self::RabbitMq4 => format!("amqp://guest:guest@127.0.0.1:{port}"),
        }
    }

    /// The URL of the broker that tests share: the one that `tests/run` started, or one of this process.
    ///
    /// # Panics
    ///
    /// As [`Amqp1Broker::start`].
    pub async fn shared_url(self) -> String {
        static SHARED: OnceCell<Amqp1Broker> = OnceCell::const_new();
        if let Ok(port) = std::env::var(self.variable()) {
            return self.url(port.parse().unwrap_or_else(|_| panic!("{} must be a port", self.variable())));
        }
        match self {
            Self::ActiveMq => SHARED.get_or_init(|| Amqp1Broker::start(self)).await.url(),
            Self::RabbitMq4 => self.url(SharedBroker::of(RabbitVersion::V4).await.port()),
        }
    }
}

/// A broker that belongs to one test. It ends, with everything it stored, on drop, on panic and when the test process dies.
#[derive(Debug)]
pub struct Amqp1Broker(Kind);

#[derive(Debug)]
enum Kind {
    ActiveMq(Arc<ActiveMq>),
    RabbitMq4(Broker),
}

impl Amqp1Broker {
    /// Starts a broker and waits until it accepts clients: 2 to 5 s on an idle machine.
    ///
    /// # Panics
    ///
    /// When it is not installed, naming the command that installs it, or does not start within two minutes, showing its log.
    pub async fn start(product: Amqp1Product) -> Self {
        Self::start_with_schedulers(product, 1).await
    }

    /// As [`start`](Self::start), with this many Erlang schedulers if the product runs on Erlang; see
    /// [`BrokerBuilder::schedulers`](crate::BrokerBuilder::schedulers).
    pub async fn start_with_schedulers(product: Amqp1Product, schedulers: usize) -> Self {
        Self(match product {
            Amqp1Product::ActiveMq => Kind::ActiveMq(Arc::new(blocking(ActiveMq::start).await)),
            Amqp1Product::RabbitMq4 => {
                Kind::RabbitMq4(Broker::builder().version(RabbitVersion::V4).schedulers(schedulers).start().await)
            }
        })
    }

    fn product(&self) -> Amqp1Product {
        match self.0 {
            Kind::ActiveMq(_) => Amqp1Product::ActiveMq,
            Kind::RabbitMq4(_) => Amqp1Product::RabbitMq4,
        }
    }

    /// The environment variables that make other processes share the broker, as `NAME=value`.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        match &self.0 {
            Kind::ActiveMq(_) => vec![format!("{}={}", self.product().variable(), self.port())],
            Kind::RabbitMq4(broker) => SharedBroker::environment(broker).to_vec(),
        }
    }

    /// `amqp://...`, with user and password if it requires them.
    #[must_use]
    pub fn url(&self) -> String {
        self.product().url(self.port())
    }

    /// The port on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.0 {
            Kind::ActiveMq(broker) => broker.port.port(),
            Kind::RabbitMq4(broker) => broker.port(),
        }
    }

    /// The broker's process id.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.0 {
            Kind::ActiveMq(broker) => broker.process().as_ref().expect("the broker is not running").pid(),
            Kind::RabbitMq4(broker) => broker.pid(),
        }
    }

    /// Kills the broker with SIGKILL.
    pub async fn kill(&self) {
        match &self.0 {
            Kind::ActiveMq(broker) => {
                let broker = broker.clone();
                blocking(move || drop(broker.process().take())).await;
            }
            Kind::RabbitMq4(broker) => broker.kill().await,
        }
    }

    /// Restarts it after [`kill`](Self::kill), on the same port. ActiveMQ loses what it had stored.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) {
        self.kill().await;
        match &self.0 {
            Kind::ActiveMq(broker) => {
                let broker = broker.clone();
                blocking(move || broker.boot()).await;
            }
            Kind::RabbitMq4(broker) => broker.restart().await,
        }
    }

    /// Runs `rabbitmqctl` against this broker and returns its output. Takes one to two seconds.
    ///
    /// # Panics
    ///
    /// When it fails, with its output, and for ActiveMQ.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        match &self.0 {
            Kind::ActiveMq(_) => panic!("rabbitmqctl is for RabbitMQ"),
            Kind::RabbitMq4(broker) => broker.ctl(arguments).await,
        }
    }

    /// SIGSTOP: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        match &self.0 {
            Kind::ActiveMq(broker) => broker.process().as_mut().expect("the broker is not running").freeze(),
            Kind::RabbitMq4(broker) => broker.freeze(),
        }
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        match &self.0 {
            Kind::ActiveMq(broker) => {
                broker.process().as_mut().expect("the broker is not running").signal(Signal::CONT);
            }
            Kind::RabbitMq4(broker) => broker.thaw(),
        }
    }
}

#[derive(Debug)]
struct ActiveMq {
    // First, because fields are dropped in order: the process must end before its folder and port are released.
    process: Mutex<Option<ProcessTree>>,
    port: PortLease,
    folder: DataFolder,
}

impl ActiveMq {
    fn start() -> Self {
        let this = Self { process: Mutex::new(None), port: PortLease::take(), folder: DataFolder::create() };
        this.boot();
        this
    }

    fn process(&self) -> MutexGuard<'_, Option<ProcessTree>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn boot(&self) {
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("cannot open the broker's log");
        let mut command = self.command();
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("cannot share the broker's log"))
            .stderr(log);
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start setpriv (Debian: util-linux): {error}"));
        let mut process = ProcessTree::new(child);
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.port())).is_err() {
            if let Some(status) = process.exited() {
                panic!("ActiveMQ ended with {status} while it started; its log:\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "ActiveMQ did not start within {START_LIMIT:?}; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
        *self.process() = Some(process);
    }

    fn command(&self) -> Command {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.build/amqp1/activemq");
        let installed = installed.canonicalize().unwrap_or_else(|_| {
            panic!("{} is missing: run tests/support/amqp1/obtain activemq, or ./tests/run", installed.display())
        });
        let config = self.folder.path().join("broker.xml");
        let text = ACTIVEMQ
            .replace("{port}", &self.port.port().to_string())
            .replace("{data}", &self.folder.path().display().to_string());
        fs::write(&config, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        let mut jars = vec![installed.join("classes")];
        for place in ["root/usr/share/activemq", "root/usr/share/java"] {
            find_jars(&installed.join(place), &mut jars);
        }
        let class_path = std::env::join_paths(jars).expect("a path with a colon");
        let mut command = bound_command("java", None);
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(class_path)
            .args(["org.apache.activemq.console.command.ShellCommand", "start"])
            .arg(format!("xbean:file:{}", config.display()));
        command
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }
}

/// Without tcpNoDelay the kernel delays each delivery by about 40 ms. Queues of the topic `full` in oslo's legacy addresses
/// take a megabyte, and then grant no more credit.
const ACTIVEMQ: &str = r#"<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="oxlo" useJmx="false" persistent="false"
    schedulerSupport="false" dataDirectory="{data}">
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry queue="exclusive.openstack.full.>" producerFlowControl="true" memoryLimit="1 mb"/>
    </policyEntries></policyMap></destinationPolicy>
    <transportConnectors>
      <transportConnector name="amqp" uri="amqp://127.0.0.1:{port}?transport.tcpNoDelay=true"/>
    </transportConnectors>
  </broker>
</beans>
"#;

/// Every jar below a folder; links are left out, because Debian links each to its name without version.
fn find_jars(folder: &Path, jars: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find_jars(&entry.path(), jars),
            Ok(kind) if kind.is_file() && entry.path().extension().is_some_and(|end| end == "jar") => {
                jars.push(entry.path());
            }
            _ => {}
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
