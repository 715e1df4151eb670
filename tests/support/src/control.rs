//! Evaluates expressions in a broker's Erlang node, which is far cheaper than rabbitmqctl.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

/// The expression that a broker evaluates at its start to listen on the control socket.
pub(crate) const SCRIPT: &str = include_str!("control.erl");

// A vhost with many queues takes a while to delete on a busy machine; nothing takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A way to run Erlang expressions inside a test broker.
///
/// Cheap to clone; each expression uses its own connection. A call takes well under a millisecond plus what the expression does.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Evaluates Erlang expressions (ended by a full stop) in the broker and decodes the value of the last one.
    ///
    /// The value must be one that `rabbit_json:encode` accepts: maps, lists, binaries, atoms, numbers.
    ///
    /// # Panics
    ///
    /// When the broker does not answer within 60 s, the expression fails, or its value cannot be decoded as `T`.
    pub async fn eval<T: DeserializeOwned + Send + 'static>(&self, expressions: &str) -> T {
        let (this, expressions) = (self.clone(), expressions.to_owned());
        tokio::task::spawn_blocking(move || this.eval_blocking(&expressions)).await.expect("the evaluation panicked")
    }

    /// As [`eval`](Self::eval), for a node that may be starting, stopping or down: returns an error instead of panicking.
    ///
    /// # Errors
    ///
    /// A text that says what failed: connecting, the expression, or decoding its value as `T`.
    pub async fn try_evaluate<T: DeserializeOwned + Send + 'static>(&self, expressions: &str) -> Result<T, String> {
        let (this, expressions) = (self.clone(), expressions.to_owned());
        let work = move || {
            let json = this.try_eval(&expressions).map_err(|error| error.to_string())?;
            serde_json::from_str(&json).map_err(|error| format!("{json}: {error}"))
        };
        tokio::task::spawn_blocking(work).await.expect("the evaluation panicked")
    }

    pub(crate) fn eval_blocking<T: DeserializeOwned>(&self, expressions: &str) -> T {
        let json = self.try_eval(expressions).unwrap_or_else(|error| {
            panic!("the broker behind {} failed to evaluate `{expressions}`: {error}", self.socket.display())
        });
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("`{expressions}` gave {json}: {error}"))
    }

    /// The JSON text of the expressions' value.
    pub(crate) fn try_eval(&self, expressions: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let length = u32::try_from(expressions.len()).map_err(io::Error::other)?;
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(expressions.as_bytes())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer)?;
        let answer = String::from_utf8(answer).map_err(io::Error::other)?;
        match answer.strip_prefix('+') {
            Some(json) => Ok(json.to_owned()),
            None => Err(io::Error::other(answer.trim_start_matches('-').to_owned())),
        }
    }
}

/// `text` as an Erlang binary literal; any character is allowed.
pub(crate) fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
