//! Brokers that speak AMQP 1.0 only, or better than RabbitMQ 3 does: ActiveMQ classic and RabbitMQ 4.
//!
//! `tests/support/amqp1/obtain` puts them into `.build/amqp1`; `tests/run` calls it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::folder::DataFolder;
use crate::ports::PortLease;
use crate::process::{ProcessTree, bound_command, spawn};

const START_LIMIT: Duration = Duration::from_secs(120);

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amqp1Product {
    /// ActiveMQ classic with its AMQP connector; anybody may log in.
    ActiveMq,
    /// RabbitMQ 4 with its native AMQP 1.0; user `guest`, password `guest`. It runs in a root folder of its own, which only
    /// root can give it.
    RabbitMq4,
}

impl Amqp1Product {
    /// Every one that [`Amqp1Broker`] can start.
    pub const ALL: [Self; 2] = [Self::ActiveMq, Self::RabbitMq4];

    fn folder(self) -> PathBuf {
        let name = match self {
            Self::ActiveMq => "activemq",
            Self::RabbitMq4 => "rabbitmq4",
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.build/amqp1").join(name);
        folder.canonicalize().unwrap_or_else(|_| {
            panic!("{} is missing: run tests/support/amqp1/obtain {name}, or ./tests/run", folder.display())
        })
    }

    /// The environment variable that names the port of the broker that tests share.
    #[must_use]
    pub fn variable(self) -> &'static str {
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
        static SHARED: [OnceCell<Amqp1Broker>; 2] = [const { OnceCell::const_new() }; 2];
        if let Ok(port) = std::env::var(self.variable()) {
            return self.url(port.parse().unwrap_or_else(|_| panic!("{} must be a port", self.variable())));
        }
        let cell = if self == Self::ActiveMq { &SHARED[0] } else { &SHARED[1] };
        cell.get_or_init(|| Amqp1Broker::start(self)).await.url()
    }
}

/// A broker of a test's own. It ends, with everything it stored, when dropped, on panic and when the test process dies.
#[derive(Debug)]
pub struct Amqp1Broker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // First, because fields are dropped in order: the process must be dead before its folder and ports go.
    process: Mutex<Option<ProcessTree>>,
    product: Amqp1Product,
    port: PortLease,
    others: [PortLease; 2],
    folder: DataFolder,
    schedulers: usize,
}

impl Amqp1Broker {
    /// Starts a broker and waits until it accepts clients: 2 to 5 s on an idle machine.
    ///
    /// # Panics
    ///
    /// When it is not there, naming the command that gets it, or does not come up within two minutes, showing its log.
    pub async fn start(product: Amqp1Product) -> Self {
        Self::start_with_schedulers(product, 1).await
    }

    /// As [`start`](Self::start), with as many schedulers of Erlang, where it is one that has them; see
    /// [`BrokerBuilder::schedulers`](crate::BrokerBuilder::schedulers).
    pub async fn start_with_schedulers(product: Amqp1Product, schedulers: usize) -> Self {
        let inner = blocking(move || {
            let inner = Inner {
                process: Mutex::new(None),
                product,
                port: PortLease::take(),
                others: [PortLease::take(), PortLease::take()],
                folder: DataFolder::create(),
                schedulers,
            };
            inner.boot();
            inner
        });
        Self(Arc::new(inner.await))
    }

    /// `amqp://...`, with user and password if it wants some.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.product.url(self.port())
    }

    /// The port on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port.port()
    }

    /// The process id of the broker, or of the process that runs it and its helpers.
    ///
    /// # Panics
    ///
    /// While it is killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.process().as_ref().expect("the broker is not running").pid()
    }

    /// SIGKILL: the broker is gone at once.
    pub async fn kill(&self) {
        let inner = self.0.clone();
        blocking(move || drop(inner.process().take())).await;
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and without what it had stored.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) {
        self.kill().await;
        let inner = self.0.clone();
        blocking(move || inner.boot()).await;
    }

    /// Runs `rabbitmqctl` against this broker and returns its output; a second or two.
    ///
    /// # Panics
    ///
    /// When it fails, with what it printed, and for ActiveMQ.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        assert_eq!(self.0.product, Amqp1Product::RabbitMq4, "rabbitmqctl is for RabbitMQ");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let inner = self.0.clone();
        blocking(move || inner.ctl(&arguments)).await
    }

    /// SIGSTOP: connections stay open, and nothing answers. Only where the broker is one process: ActiveMQ.
    ///
    /// # Panics
    ///
    /// For RabbitMQ 4.
    pub fn freeze(&self) {
        assert_eq!(self.0.product, Amqp1Product::ActiveMq, "RabbitMQ 4 runs behind another process");
        self.0.process().as_mut().expect("the broker is not running").freeze();
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.0.process().as_mut().expect("the broker is not running").signal(Signal::CONT);
    }
}

impl Inner {
    fn process(&self) -> MutexGuard<'_, Option<ProcessTree>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn boot(&self) {
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("cannot open the broker's log");
        let mut command = match self.product {
            Amqp1Product::ActiveMq => self.activemq(),
            Amqp1Product::RabbitMq4 => self.rabbitmq4(),
        };
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
                panic!("{:?} ended with {status} while it started; its log:\n{}", self.product, self.log());
            }
            assert!(
                Instant::now() < deadline,
                "{:?} did not start within {START_LIMIT:?}; its log:\n{}",
                self.product,
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
        *self.process() = Some(process);
    }

    fn activemq(&self) -> Command {
        let folder = self.product.folder();
        let config = self.folder.path().join("broker.xml");
        let text = ACTIVEMQ
            .replace("{port}", &self.port.port().to_string())
            .replace("{data}", &self.folder.path().display().to_string());
        fs::write(&config, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        let mut jars = vec![folder.join("classes")];
        for place in ["root/usr/share/activemq", "root/usr/share/java"] {
            find_jars(&folder.join(place), &mut jars);
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

    fn rabbitmq4(&self) -> Command {
        assert!(
            rustix::process::geteuid().is_root(),
            "RabbitMQ 4 runs in a root folder of its own (chroot), which needs root: run the tests as root"
        );
        fs::write(
            self.folder.path().join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{}\n\
                 distribution.listener.interface = 127.0.0.1\n\
                 log.console = true\nlog.console.level = info\nlog.file = false\n\
                 disk_free_limit.absolute = 50MB\n",
                self.port.port()
            ),
        )
        .expect("cannot write rabbitmq.conf");
        fs::write(self.folder.path().join("enabled_plugins"), "[].\n").expect("cannot write enabled_plugins");
        self.in_root("chown -R rabbitmq:rabbitmq /broker; exec", &["rabbitmq-server"])
    }

    fn ctl(&self, arguments: &[String]) -> String {
        let arguments: Vec<&str> = ["rabbitmqctl"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let output = self.in_root("exec", &arguments).stdin(Stdio::null()).output().expect("cannot run rabbitmqctl");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs one of RabbitMQ's programs in its root folder, after what the shell is told to do first.
    fn in_root(&self, first: &str, program: &[&str]) -> Command {
        let [distribution, epmd] = &self.others;
        // A process namespace of its own: its end is the end of the port mapper and all other helpers.
        let mut command = bound_command("unshare", None);
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c"]);
        command.arg(RABBITMQ4.replace("{first}", first)).arg("sh");
        command.arg(self.product.folder()).arg(self.folder.path()).args(program);
        command
            .env("ERL_EPMD_PORT", epmd.port().to_string())
            .env("RABBITMQ_DIST_PORT", distribution.port().to_string())
            .env("RABBITMQ_NODENAME", format!("oxlo-{}@localhost", self.port.port()))
            .env("SCHEDULERS", self.schedulers.to_string());
        command
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }
}

/// Without tcpNoDelay each delivery waits some 40 ms for the kernel. Queues of the topic `full` in oslo's legacy addresses take
/// a megabyte, and then give no more credit.
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

/// Arguments: the root folder, the folder for this broker's data, the program and its arguments.
const RABBITMQ4: &str = r#"set -e
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind "$2" "$1/broker"
root=$1
shift 2
exec chroot "$root" /bin/sh -c '
    {first} setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups env -i \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/broker LANG=C.UTF-8 \
        ERL_EPMD_PORT="$ERL_EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="$RABBITMQ_NODENAME" RABBITMQ_DIST_PORT="$RABBITMQ_DIST_PORT" \
        RABBITMQ_MNESIA_BASE=/broker/data RABBITMQ_LOG_BASE=/broker/log RABBITMQ_PID_FILE=/broker/pid \
        RABBITMQ_CONFIG_FILE=/broker/rabbitmq RABBITMQ_ENABLED_PLUGINS_FILE=/broker/enabled_plugins \
        RABBITMQ_ALLOW_INPUT=1 RABBITMQ_SCHEDULER_BIND_TYPE=u \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S $SCHEDULERS:$SCHEDULERS +SDio 2 -noinput" \
        /usr/lib/rabbitmq/bin/"$@"' sh "$@"
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
