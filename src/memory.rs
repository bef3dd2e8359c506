//! How much memory the process may use.

use std::fs;
use std::path::Path;

/// The memory of the machine, or the limit of a control group of the process if that is lower, in
/// bytes. `None` if the system reports neither.
pub(crate) fn available() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| limit_of(Path::new("/sys/fs/cgroup"), line));
    limits.chain(of_machine(&fs::read_to_string("/proc/meminfo").unwrap_or_default())).min()
}

/// The lowest limit of a group and of those that contain it. `line` is a line of
/// /proc/self/cgroup: `0::/path` in version 2, `5:memory:/path` in version 1.
fn limit_of(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (folder, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    // In a container the path of the host does not exist, and the limit is that of the root.
    let group = folder.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(&folder));
    groups.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).min()
}

/// The memory of the machine, from the text of /proc/meminfo.
fn of_machine(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_a_group_and_its_ancestors_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("shop/memory.max", "1000000\n");
        write("shop/loms/memory.max", "max\n");
        write("memory/old/memory.limit_in_bytes", "2000000\n");
        let limit = |line| limit_of(root.path(), line);
        assert_eq!(limit("0::/shop/loms"), Some(1_000_000));
        assert_eq!(limit("0::/shop/other/deep"), Some(1_000_000));
        assert_eq!(limit("0::/"), None);
        assert_eq!(limit("5:cpu,memory:/old"), Some(2_000_000));
        assert_eq!(limit("6:pids:/old"), None);
    }

    #[test]
    fn memory_of_the_machine_is_read() {
        assert_eq!(of_machine("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_777_216));
        assert_eq!(of_machine(""), None);
    }
}
