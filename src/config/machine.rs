//! What this process may use by the word of its surroundings: CPUs by affinity and by the quotas
//! of its cgroups, memory by their limits or by the machine, of both versions of cgroups, of its
//! own group and of every one above it. Never changes anything and never fails: what cannot be
//! read does not bound.

use crate::model::units::ByteSize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The surroundings of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// CPUs by affinity and cgroup quota, a begun one counted as whole, at least 1.
    pub cpus: usize,
    /// Who says so.
    pub cpus_by: Told,
    /// Bytes by cgroup (version 1 or 2), else of the machine.
    pub memory: ByteSize,
    /// Who says so.
    pub memory_by: Told,
}

/// Who says how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The setting of this name.
    Setting(&'static str),
    /// `cpu.max` or `memory.max` of a cgroup.
    Cgroup2,
    /// `cpu.cfs_quota_us` or `memory.limit_in_bytes` of a cgroup.
    Cgroup1,
    /// The CPUs this process may run on.
    Affinity,
    /// The machine's memory.
    Machine,
    /// A share of something else that was told.
    Share,
    /// Nobody: a safe guess.
    Guess,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setting(name) => name,
            Self::Cgroup2 => "cgroup v2",
            Self::Cgroup1 => "cgroup v1",
            Self::Affinity => "CPU affinity",
            Self::Machine => "the machine",
            Self::Share => "its share of the memory",
            Self::Guess => "a guess",
        })
    }
}

impl Machine {
    /// A machine of this size, for whoever knows it already.
    #[must_use]
    pub const fn of(cpus: usize, memory: ByteSize) -> Self {
        Self { cpus, cpus_by: Told::Affinity, memory, memory_by: Told::Machine }
    }

    /// Looks at `/proc` and `/sys/fs/cgroup`.
    #[must_use]
    pub fn detect() -> Self {
        Self::below(Path::new("/"))
    }

    /// Looks at `proc` and `sys/fs/cgroup` below a root.
    fn below(root: &Path) -> Self {
        /// Where nothing can be read (not Linux), a small machine is the safe guess.
        const UNKNOWN: u64 = 1 << 30;
        let groups = Groups::read(root);
        let (cpus, cpus_by) = cpus(root, &groups);
        let (memory, memory_by) = memory(root, &groups).unwrap_or((UNKNOWN, Told::Guess));
        Self { cpus, cpus_by, memory: ByteSize::new(memory), memory_by }
    }
}

/// The folders of the cgroups this process is in, innermost first, with their version.
struct Groups(Vec<(Told, Vec<PathBuf>)>);

/// Where the hierarchies are mounted. Of version 1 each controller has its own, under one of two
/// names; of version 2 there is one, elsewhere where both versions are in use.
const CPU_1: [&str; 2] = ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"];
const MEMORY_1: [&str; 1] = ["sys/fs/cgroup/memory"];
const ALL_2: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

impl Groups {
    fn read(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let of = |line: &str| {
            // Version 2: `0::/path`. Version 1: `5:memory:/path`, perhaps `5:cpu,memory:/path`.
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let has = |wanted| controllers.split(',').any(|name| name == wanted);
            let (version, mounts) = match controllers {
                "" => (Told::Cgroup2, &ALL_2[..]),
                _ if has("cpu") => (Told::Cgroup1, &CPU_1[..]),
                _ if has("memory") => (Told::Cgroup1, &MEMORY_1[..]),
                _ => return None,
            };
            // A limit of a parent group counts too. In a container the path may be the host's,
            // of which only the root exists.
            let mut folders = Vec::new();
            for mount in mounts.iter().map(|mount| root.join(mount)) {
                let folder = mount.join(path.trim_start_matches('/'));
                let groups = folder.ancestors().take_while(|group| group.starts_with(&mount));
                folders.extend(groups.map(Path::to_owned));
            }
            Some((version, folders))
        };
        Self(text.lines().filter_map(of).collect())
    }

    /// The least of what `limit` reads in any folder.
    fn least(&self, limit: impl Fn(Told, &Path) -> Option<u64>) -> Option<(u64, Told)> {
        let found = self.0.iter().flat_map(|(version, folders)| {
            folders.iter().filter_map(|folder| Some((limit(*version, folder)?, *version)))
        });
        found.min_by_key(|(least, _)| *least)
    }
}

fn cpus(root: &Path, groups: &Groups) -> (usize, Told) {
    let allowed = affinity(root).map(|count| (count, Told::Affinity));
    let quota = groups.least(quota_of).map(|(millis, version)| {
        // Nothing is gained by leaving a begun CPU idle, and one is the least there can be.
        (usize::try_from(millis.div_ceil(1_000)).unwrap_or(usize::MAX).max(1), version)
    });
    let least = [allowed, quota].into_iter().flatten().min_by_key(|(count, _)| *count);
    least.unwrap_or_else(|| {
        (std::thread::available_parallelism().map_or(1, usize::from), Told::Affinity)
    })
}

/// The CPU quota of a group, in thousandths of a CPU.
fn quota_of(version: Told, group: &Path) -> Option<u64> {
    let (quota, period) = if version == Told::Cgroup2 {
        // `150000 100000`, or `max 100000`.
        let text = read(group, "cpu.max")?;
        let (quota, period) = text.split_once(' ').unwrap_or((text.as_str(), "100000"));
        (quota.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?)
    } else {
        // -1 means none.
        let quota = read(group, "cpu.cfs_quota_us")?.parse().ok()?;
        (quota, read(group, "cpu.cfs_period_us")?.parse().ok()?)
    };
    quota.checked_mul(1_000)?.checked_div(period).filter(|_| quota > 0)
}

/// The CPUs this process may run on, such as `0-3,8`.
fn affinity(root: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(root.join("proc/self/status")).ok()?;
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim().split(',').map(count).sum::<Option<usize>>().filter(|count| *count > 0)
}

fn memory(root: &Path, groups: &Groups) -> Option<(u64, Told)> {
    let limit = |version, group: &Path| {
        let file = if version == Told::Cgroup2 { "memory.max" } else { "memory.limit_in_bytes" };
        // "max" means none, and so does version 1's huge number beside what the machine has.
        read(group, file)?.parse::<u64>().ok().filter(|bytes| *bytes > 0)
    };
    let physical = physical(root).map(|bytes| (bytes, Told::Machine));
    [physical, groups.least(limit)].into_iter().flatten().min_by_key(|(bytes, _)| *bytes)
}

fn physical(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn read(group: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(group.join(file)).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
