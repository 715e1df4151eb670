//! Temporary folders that are deleted even if their owner was killed.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;

const PREFIX: &str = "oxlo-rabbit-";
const OWNER: &str = "owner";
// The owner of a folder this young may not have locked it yet.
const SETTLED: Duration = Duration::from_secs(60);

/// A node's folder, deleted when dropped. While its owner lives, the file `owner` in it is locked.
#[derive(Debug)]
pub(crate) struct DataFolder {
    folder: TempDir,
    _owner: File,
}

impl DataFolder {
    /// Creates a folder, and deletes those whose owners were killed before they could.
    pub(crate) fn create() -> Self {
        sweep();
        let base = std::env::temp_dir();
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .unwrap_or_else(|error| panic!("cannot create a folder in {}: {error}", base.display()));
        let owner = File::create(folder.path().join(OWNER)).expect("cannot create the owner file");
        owner.lock().expect("cannot lock the owner file");
        Self { folder, _owner: owner }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours && abandoned(&entry.path()) {
            // Another process may be deleting it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn abandoned(folder: &Path) -> bool {
    let Ok(owner) = File::open(folder.join(OWNER)) else { return false };
    let settled = owner
        .metadata()
        .and_then(|data| data.modified())
        .is_ok_and(|created| created.elapsed().is_ok_and(|age| age > SETTLED));
    settled && owner.try_lock().is_ok()
}
