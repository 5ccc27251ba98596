//! What this process may use by the word of its surroundings: CPUs, and memory by cgroup or by
//! the machine. Never changes anything and never fails: what cannot be read does not bound.

use crate::model::units::ByteSize;
use std::path::Path;

/// The surroundings of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// CPUs by affinity and cgroup quota, at least 1.
    pub cpus: usize,
    /// Bytes by cgroup (version 1 or 2), else of the machine.
    pub memory: ByteSize,
}

impl Machine {
    /// Looks at `/proc` and `/sys/fs/cgroup`.
    #[must_use]
    pub fn detect() -> Self {
        /// Where nothing can be read (not Linux), a small machine is the safe guess.
        const UNKNOWN: u64 = 1 << 30;
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: ByteSize::new(memory(Path::new("/")).unwrap_or(UNKNOWN)),
        }
    }
}

/// The least of all limits below `root`.
fn memory(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut least = physical(root);
    for line in groups.lines() {
        // Version 2: `0::/path`. Version 1: `5:memory:/path`, perhaps `5:cpu,memory:/path`.
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = if controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        // A limit of a parent group counts too. In a container the path may be the host's, of
        // which only the root exists.
        let mount = root.join(mount);
        let folder = mount.join(path.trim_start_matches('/'));
        for group in folder.ancestors().take_while(|group| group.starts_with(&mount)) {
            let limit = std::fs::read_to_string(group.join(file)).ok();
            // "max" and version 1's huge number both mean none.
            let limit = limit.and_then(|text| text.trim().parse::<u64>().ok()).filter(|n| *n > 0);
            least = [least, limit].into_iter().flatten().min();
        }
    }
    least
}

fn physical(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");

    #[test]
    fn version_2_takes_the_least_limit_up_to_the_root() {
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/kubepods/pod1/app\n"),
            ("sys/fs/cgroup/kubepods/pod1/app/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "1000000\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "1500000\n"),
        ]);
        assert_eq!(memory(root.path()), Some(1_000_000));
    }

    #[test]
    fn version_1_is_read_at_the_root_when_the_path_is_the_hosts() {
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "11:cpu,cpuacct:/x\n5:memory:/docker/abc\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "500000\n"),
        ]);
        assert_eq!(memory(root.path()), Some(500_000));
    }

    #[test]
    fn no_limit_means_all_physical_memory() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "5:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        assert_eq!(memory(root(&files).path()), Some(2048 * 1024));
        assert_eq!(memory(root(&[]).path()), None);
    }

    #[test]
    fn this_machine_has_a_cpu_and_some_memory() {
        let machine = Machine::detect();
        assert!(machine.cpus >= 1 && machine.memory.get() > 1 << 20);
    }
}
