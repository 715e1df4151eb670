use oxlo::RemoteError;

#[derive(Debug, RemoteError)]
#[remote(module = "shop.exceptions")]
struct NoError;

#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "shop.exceptions")]
#[error("failed")]
struct Field {
    cause: std::sync::Arc<std::io::Error>,
}

fn main() {}
