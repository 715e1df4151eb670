//! Where a version of RabbitMQ is installed, and how its programs are run from there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{User, bound_command};

const DEBIAN_SCRIPTS: &str = "/usr/lib/rabbitmq/bin";
/// The environment variable that chooses the version for tests that name none.
const VARIABLE: &str = "OXLO_TEST_RABBITMQ";

/// A version of RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RabbitVersion {
    /// The one that the system's packages installed: 3.10 on Debian 12.
    V3,
    /// RabbitMQ 4.0 in its own root folder, because its Erlang needs a newer libc. Only root can chroot into it.
    V4,
}

impl RabbitVersion {
    /// The version for tests that name none: `OXLO_TEST_RABBITMQ`, which is `3` or `4`. Default 3.
    ///
    /// # Panics
    ///
    /// When the variable has another value.
    #[must_use]
    pub fn chosen() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("3") => Self::V3,
            Ok("4") => Self::V4,
            Ok(other) => panic!("{VARIABLE} must be 3 or 4 and is {other}"),
        }
    }

    /// One of RabbitMQ's or Erlang's programs, to be run as `user` (`None`: the current user) and killed by the kernel when this process
    /// ends. The process is the program itself, and sees `folder` under its own path.
    pub(crate) fn command(self, program: &str, user: Option<User>, folder: &Path) -> Command {
        if self == Self::V3 {
            return bound_command(&locate(program), user);
        }
        let root = root_folder();
        let user = user.expect("RabbitMQ 4 runs as the user rabbitmq of its root folder");
        let mut command = bound_command("unshare", None);
        command.args(["--mount", "--", "sh", "-c", IN_ROOT, "sh"]).arg(root).arg(folder);
        command.args([user.uid.to_string(), user.gid.to_string()]);
        let script = format!("{DEBIAN_SCRIPTS}/{program}");
        // Erlang's programs are not in RabbitMQ's folder.
        command.arg(if program.starts_with("rabbitmq") { script.as_str() } else { program });
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command
    }

    /// The user `rabbitmq`, which root runs the programs as; `None` if this process is not root.
    ///
    /// # Panics
    ///
    /// When RabbitMQ 4 cannot run, with what to do.
    pub(crate) fn user(self) -> Option<User> {
        let is_root = rustix::process::geteuid().is_root();
        let root = match self {
            Self::V3 => PathBuf::from("/"),
            Self::V4 => {
                assert!(
                    is_root,
                    "RabbitMQ 4 runs in a root folder of its own (chroot), which needs root: run the tests as root"
                );
                root_folder()
            }
        };
        if !is_root {
            return None;
        }
        let users = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with("rabbitmq:"))?.split(':').collect();
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

/// The folder that `tests/support/amqp1/obtain` unpacks into.
fn root_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.build/amqp1/rabbitmq4");
    folder.canonicalize().unwrap_or_else(|_| {
        panic!("{} is missing: run tests/support/amqp1/obtain rabbitmq4, or ./tests/run", folder.display())
    })
}

/// The path of one of RabbitMQ's scripts, or of Erlang's programs.
///
/// Debian's own wrappers in `/usr/sbin` refuse other users and write to the system's log folder, so the scripts behind them come first.
fn locate(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from(DEBIAN_SCRIPTS))
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("{program} is neither in {DEBIAN_SCRIPTS} nor in PATH: apt-get install rabbitmq-server, or run ./tests/run")
        })
        .display()
        .to_string()
}

/// Arguments: the root folder, the node's folder, user and group, the program and its arguments. The mounts are this process's own and
/// end with it.
const IN_ROOT: &str = r#"set -e
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
root=$1 folder=$2 user=$3 group=$4
shift 4
exec chroot "$root" setpriv --pdeathsig KILL --reuid "$user" --regid "$group" --clear-groups -- env --chdir="$folder" "$@"
"#;
