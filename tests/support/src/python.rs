//! Peers written in Python, on oslo.messaging.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

use crate::process::{ProcessTree, bound_command, spawn};

// Importing oslo.messaging takes a second or two alone, and far more on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(60);
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// A program of `tests/peers` that runs in the venv of `tests/run`; requests and answers are lines of JSON.
///
/// Dropping it kills it with SIGKILL. When a function panics, the message ends with the program's standard error.
/// It must be used within the tokio runtime that it was spawned in.
#[derive(Debug)]
pub struct PythonPeer {
    program: String,
    process: ProcessTree,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl PythonPeer {
    /// Starts `tests/peers/PROGRAM` with `arguments`.
    ///
    /// # Panics
    ///
    /// When the venv is missing, naming `./tests/run`, which makes it.
    pub fn spawn<S: AsRef<str>>(program: &str, arguments: &[S]) -> Self {
        let python = python(program);
        let script = repository().join("tests/peers").join(program);
        assert!(script.is_file(), "{} does not exist", script.display());
        let folder = tempfile::Builder::new().prefix("oxlo-python-").tempdir().expect("cannot create a folder");
        let errors = File::create(folder.path().join("stderr")).expect("cannot create a file");
        let mut command = bound_command(&python.display().to_string(), None);
        command.arg("-u").arg(&script).args(arguments.iter().map(AsRef::as_ref));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child =
            spawn(command).unwrap_or_else(|error| panic!("cannot start setpriv (Debian: util-linux): {error}"));
        let (input, output) =
            (child.stdin.take().expect("stdin is piped"), child.stdout.take().expect("stdout is piped"));
        let input = ChildStdin::from_std(input).expect("cannot use a pipe asynchronously");
        let output = ChildStdout::from_std(output).expect("cannot use a pipe asynchronously");
        let (process, output) = (ProcessTree::new(child), BufReader::new(output).lines());
        Self { program: program.to_owned(), process, input: Some(input), output, folder }
    }

    /// Waits for the line `{"ready": true, ...}` and returns it.
    ///
    /// # Panics
    ///
    /// When the program ends, prints another line, or is silent for a minute.
    pub async fn expect_ready(&mut self) -> Value {
        let line = self.line(READY_LIMIT, "its ready line").await;
        assert_eq!(
            line.get("ready"),
            Some(&Value::Bool(true)),
            "{} printed {line} instead of its ready line",
            self.program
        );
        line
    }

    /// Sends one request and waits for its answer, at most a minute.
    ///
    /// # Panics
    ///
    /// When the program ends or does not answer in time.
    pub async fn request(&mut self, request: Value) -> Value {
        self.send(&request).await;
        self.answer(REQUEST_LIMIT).await
    }

    /// Sends one request without waiting for an answer, for `{"op": "die"}` or for a call whose answer is awaited later.
    ///
    /// # Panics
    ///
    /// When the program has ended.
    pub async fn send(&mut self, request: &Value) {
        let line = format!("{request}\n");
        let Some(input) = &mut self.input else { panic!("the input of {} is closed", self.program) };
        let sent = async {
            input.write_all(line.as_bytes()).await?;
            input.flush().await
        };
        if let Err(error) = sent.await {
            panic!("cannot send {request} to {}: {error}{}", self.program, self.errors());
        }
    }

    /// Waits for the answer to a request that was sent earlier.
    ///
    /// # Panics
    ///
    /// When the program ends or there is no answer within `limit`.
    pub async fn answer(&mut self, limit: Duration) -> Value {
        self.line(limit, "an answer").await
    }

    /// Closes the program's input, which ends it, and waits for its exit.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute or ends with a failure.
    pub async fn finish(mut self) {
        self.input = None;
        let status = crate::eventually(
            REQUEST_LIMIT,
            &format!("{} ends after its input was closed", self.program),
            || std::future::ready(self.process.exited()),
            Option::is_some,
        )
        .await;
        assert!(
            status.is_some_and(|status| status.success()),
            "{} ended with {status:?}{}",
            self.program,
            self.errors()
        );
    }

    /// Kills it with SIGKILL, so that it cannot close its connections.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Whether the program runs.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    async fn line(&mut self, limit: Duration, what: &str) -> Value {
        let line = match timeout(limit, self.output.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => {
                self.process.wait(Duration::from_secs(1));
                panic!("{} ended ({:?}) before {what}{}", self.program, self.process.exited(), self.errors())
            }
            Ok(Err(error)) => panic!("cannot read {what} from {}: {error}{}", self.program, self.errors()),
            Err(_) => panic!("{} did not print {what} within {limit:?}{}", self.program, self.errors()),
        };
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{} printed `{line}`: {error}{}", self.program, self.errors()))
    }

    fn errors(&self) -> String {
        let text = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        format!("\nstandard error of {}:\n{}", self.program, String::from_utf8_lossy(&text))
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap_or_else(|error: io::Error| panic!("cannot find the repository: {error}"))
}

/// Programs for AMQP 1.0 need the last oslo.messaging that supports it, which has its own venv.
fn python(program: &str) -> PathBuf {
    let venv = if program.starts_with("amqp1_") { "venv-amqp1" } else { "venv" };
    let python = repository().join(".build").join(venv).join("bin/python");
    assert!(python.exists(), "{} is missing: ./tests/run makes it and installs oslo.messaging in it", python.display());
    python
}
