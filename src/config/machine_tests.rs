//! What is read off folders that look like those of both versions of cgroups.

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

fn seen(files: &[(&str, &str)]) -> (usize, Told, u64, Told) {
    let machine = Machine::below(root(files).path());
    (machine.cpus, machine.cpus_by, machine.memory.get(), machine.memory_by)
}

const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");
const EIGHT: (&str, &str) = ("proc/self/status", "Name:\tlenslet\nCpus_allowed_list:\t0-5,8,11\n");

#[test]
fn version_2_takes_the_least_limit_up_to_the_root() {
    let files = [
        MEMINFO,
        EIGHT,
        ("proc/self/cgroup", "0::/kubepods/pod1/app\n"),
        ("sys/fs/cgroup/kubepods/pod1/app/memory.max", "max\n"),
        ("sys/fs/cgroup/kubepods/pod1/memory.max", "1000000\n"),
        ("sys/fs/cgroup/kubepods/memory.max", "1500000\n"),
        ("sys/fs/cgroup/kubepods/pod1/app/cpu.max", "400000 100000\n"),
        ("sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/kubepods/cpu.max", "150000 50000\n"),
    ];
    assert_eq!(seen(&files), (3, Told::Cgroup2, 1_000_000, Told::Cgroup2));
}

#[test]
fn version_1_is_read_at_the_root_when_the_path_is_the_hosts() {
    for mount in ["cpu", "cpu,cpuacct"] {
        let quota = format!("sys/fs/cgroup/{mount}/cpu.cfs_quota_us");
        let period = format!("sys/fs/cgroup/{mount}/cpu.cfs_period_us");
        let files = [
            MEMINFO,
            EIGHT,
            ("proc/self/cgroup", "11:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n1:name=x:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "500000\n"),
            (&quota, "250000\n"),
            (&period, "100000\n"),
        ];
        assert_eq!(seen(&files), (3, Told::Cgroup1, 500_000, Told::Cgroup1), "{mount}");
    }
}

#[test]
fn a_group_of_version_1_counts_with_those_above_it() {
    let files = [
        MEMINFO,
        EIGHT,
        ("proc/self/cgroup", "4:memory:/a/b\n3:cpu:/a/b\n"),
        ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "900000\n"),
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "800000\n"),
        ("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n"),
        ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(seen(&files), (2, Told::Cgroup1, 800_000, Told::Cgroup1));
}

#[test]
fn both_versions_at_once_are_both_read() {
    let files = [
        MEMINFO,
        EIGHT,
        ("proc/self/cgroup", "4:memory:/a\n0::/a\n"),
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "900000\n"),
        ("sys/fs/cgroup/unified/a/cpu.max", "100000 100000\n"),
    ];
    assert_eq!(seen(&files), (1, Told::Cgroup2, 900_000, Told::Cgroup1));
}

#[test]
fn a_part_of_a_cpu_is_one_and_a_begun_one_is_whole() {
    for (quota, cpus) in [("25000 100000", 1), ("100000 100000", 1), ("150000 100000", 2)] {
        let files = [EIGHT, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", quota)];
        assert_eq!(seen(&files).0, cpus, "{quota}");
    }
}

#[test]
fn no_limit_means_all_there_is() {
    let files = [
        MEMINFO,
        EIGHT,
        ("proc/self/cgroup", "5:memory:/\n4:cpu:/\n0::/\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory.max", "max\n"),
        ("sys/fs/cgroup/cpu.max", "max 100000\n"),
    ];
    assert_eq!(seen(&files), (8, Told::Affinity, 2048 * 1024, Told::Machine));
}

#[test]
fn a_quota_above_the_affinity_does_not_add_cpus() {
    let files = [
        ("proc/self/status", "Cpus_allowed_list:\t2\n"),
        ("proc/self/cgroup", "0::/\n"),
        ("sys/fs/cgroup/cpu.max", "400000 100000\n"),
    ];
    let (cpus, by, _, memory_by) = seen(&files);
    assert_eq!((cpus, by, memory_by), (1, Told::Affinity, Told::Guess));
}

#[test]
fn nonsense_in_these_files_bounds_nothing() {
    let files = [
        ("proc/self/status", "Cpus_allowed_list:\t7-3\n"),
        ("proc/self/cgroup", "0::/\n::\nx\n5:memory\n"),
        ("sys/fs/cgroup/cpu.max", "0 0\n"),
        ("sys/fs/cgroup/memory.max", "-5\n"),
    ];
    let (cpus, _, memory, by) = seen(&files);
    assert!(cpus >= 1);
    assert_eq!((memory, by), (1 << 30, Told::Guess));
}

#[test]
fn this_machine_has_a_cpu_and_some_memory() {
    let machine = Machine::detect();
    assert!(machine.cpus >= 1 && machine.memory.get() > 1 << 20);
}
