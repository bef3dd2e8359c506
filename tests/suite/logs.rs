//! Captures the log of a test.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;

/// The log of this thread, from `capture` until it is dropped.
pub(crate) struct Log {
    folder: TempDir,
    _guard: DefaultGuard,
}

impl Log {
    pub(crate) fn capture() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_writer(Arc::new(fs::File::create(folder.path().join("log")).unwrap()))
            .finish();
        Self { folder, _guard: tracing::subscriber::set_default(log) }
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}
