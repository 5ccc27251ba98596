//! Metrics that are looked up when they are scraped: the process by the word of `/proc`, and the
//! linked codecs. What cannot be read is left out; nothing here fails a scrape.

use super::logs;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs;

/// Linux counts process times in ticks of this length for user programs, on every architecture
/// we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics that every exporter has under the same names.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let times = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| times(&stat));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        gauge("process_resident_memory", "Memory in RAM", Some(&Unit::Bytes), resident(&status))?;
        gauge("process_open_fds", "Open file descriptors", None, open_files())?;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        gauge("process_max_fds", "Most open file descriptors", None, most_files(&limits))?;
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat));
        let start = boot.zip(times).map(|(boot, times)| boot + times.start);
        let help = "Start of the process since the epoch";
        gauge("process_start_time", help, Some(&Unit::Seconds), start)?;
        if let Some(times) = times {
            let metric = ConstCounter::new(times.cpu);
            let name = "process_cpu";
            let help = "Processor time, user and system";
            let unit = Some(&Unit::Seconds);
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)?;
        }
        Ok(())
    }
}

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    /// Spent on a processor.
    cpu: f64,
    /// From boot to the start of the process.
    start: f64,
}

fn times(stat: &str) -> Option<Times> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let field = |number: usize| rest.split(' ').nth(number - 3)?.parse::<f64>().ok();
    Some(Times {
        cpu: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        start: field(22)? / TICKS_PER_SECOND,
    })
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // "unlimited" is no number.
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself held one.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

/// Lines of the log that nobody took.
#[derive(Debug)]
pub(super) struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric = ConstCounter::new(logs::lost_lines());
        let help = "Log lines that were lost: their reader was too slow, or has gone";
        let kind = metric.metric_type();
        metric.encode(encoder.encode_descriptor("log_lines_lost", help, None, kind)?)
    }
}

/// Name and version of each linked codec.
#[derive(Debug)]
pub(super) struct Codecs(pub(super) Vec<(&'static str, String)>);

impl Collector for Codecs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "A linked codec";
        let mut family = encoder.encode_descriptor("codec", help, None, MetricType::Info)?;
        for (name, version) in &self.0 {
            family.encode_info(&[("name", *name), ("version", version.as_str())])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_odd_name_is_read_too() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 15 16 17 18 4200 20 21";
        assert_eq!(times(stat), Some(Times { cpu: 4.0, start: 42.0 }));
        assert_eq!(times("7 (x"), None);
    }

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident("Name:\tx\n"), None);
        assert_eq!(most_files("Limit Soft\nMax open files   1024   4096   files\n"), Some(1024.0));
        assert_eq!(most_files("Max open files   unlimited   unlimited   files\n"), None);
        assert_eq!(boot_time("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
