//! Counts instructions with `valgrind --tool=callgrind`: figures without noise.

use std::path::Path;
use std::process::Command;

/// A command that runs this program under callgrind. The count is printed on stderr.
pub(crate) fn counted(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command
}

/// Reads the number of instructions from the stderr of callgrind.
pub(crate) fn collected(stderr: &str) -> Option<u64> {
    stderr.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}
