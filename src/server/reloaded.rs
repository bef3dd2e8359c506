//! A value that is loaded from files, and loaded again when they change or on demand. If a load
//! fails, a warning says why, and the old value stays in use.

use std::fmt;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use tracing::{info, warn};

/// What changes when a file is written or replaced.
type Stamp = Option<(SystemTime, u64)>;

type Load<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// A value and its files.
pub(super) struct Reloaded<T> {
    files: Vec<PathBuf>,
    load: Load<T>,
    current: RwLock<Arc<T>>,
    stamps: Mutex<Stamps>,
}

/// The stamps of the files.
struct Stamps {
    loaded: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T> Reloaded<T> {
    /// Loads the value from its files.
    pub(super) fn new(files: Vec<PathBuf>, load: Load<T>) -> Result<Self, String> {
        // Before the files are read, so that a later change is seen.
        let seen = stamps(&files);
        let current = RwLock::new(Arc::new(load()?));
        let stamps = Mutex::new(Stamps { loaded: seen.clone(), seen });
        Ok(Self { files, load, current, stamps })
    }

    pub(super) fn current(&self) -> Arc<T> {
        // No holder of the lock panics.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the value again.
    pub(super) fn reload(&self) {
        let seen = stamps(&self.files);
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        match (self.load)() {
            Ok(value) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                info!(files, "reloaded");
            }
            Err(problem) => warn!(files, "not reloaded, the old one stays in use: {problem}"),
        }
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        *stamps = Stamps { loaded: seen.clone(), seen };
    }

    /// Loads the value again if the files have changed since it was loaded, but not since the last
    /// check: several files are often written one after the other.
    pub(super) fn reload_if_changed(&self) {
        let now = stamps(&self.files);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = now == stamps.seen;
        let changed = now != stamps.loaded;
        stamps.seen = now;
        drop(stamps);
        if settled && changed {
            self.reload();
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, identity(&metadata)))
    };
    files.iter().map(stamp).collect()
}

/// Kubernetes replaces mounted files by others, which may have the same time.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn value_follows_its_file_and_stays_if_the_file_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let write = |text: &str| {
            // Another file, as tools that replace a file at once do.
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, &path).unwrap();
        };
        write("1");
        let file = path.clone();
        let load = move || {
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        };
        let number = Reloaded::new(vec![path.clone()], Box::new(load)).unwrap();
        let checks = || {
            [(); 2].map(|()| {
                number.reload_if_changed();
                *number.current()
            })
        };
        assert_eq!(checks(), [1, 1]);
        write("2");
        assert_eq!(checks(), [1, 2], "the second check finds that the change is complete");
        write("x");
        assert_eq!(checks(), [2, 2]);
        fs::remove_file(&path).unwrap();
        assert_eq!(checks(), [2, 2]);
        write("3");
        number.reload();
        assert_eq!(*number.current(), 3);
    }
}
