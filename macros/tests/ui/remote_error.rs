use oxlo::RemoteError;

#[derive(Debug, thiserror::Error, RemoteError)]
#[error("closed")]
struct WithoutModule;

#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "shop.exceptions", class = "Shop")]
enum Shop {
    #[error("closed")]
    Closed,
    #[error("shut")]
    #[remote(class = "Closed")]
    Shut,
    #[error("no {item}")]
    #[remote(name = "NotFound")]
    NotFound {
        #[remote(rename = "what")]
        item: String,
    },
}

#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "shop.exceptions")]
#[error("{0}")]
struct Generic<T: std::fmt::Display>(T);

fn main() {}
