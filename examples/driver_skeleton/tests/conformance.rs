//! The suite that every driver runs.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use driver_skeleton::FilesDriver;
use oxlo_conformance::Harness;
use oxlo_transport::{Registry, Settings, Transport};
use tempfile::TempDir;

/// A folder of its own for each case.
#[derive(Debug)]
struct Folder(TempDir);

#[async_trait::async_trait]
impl Harness for Folder {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        let url = format!("files://{}", self.0.path().display());
        Registry::new().with(FilesDriver).transport(url).settings(settings).connect().await.unwrap()
    }
}

oxlo_conformance::conformance_suite!(Folder(TempDir::new().unwrap()));
