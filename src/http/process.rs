//! What the operating system says of this process, under the names that Prometheus clients agreed on.
//! Read from `/proc/self` at scrape; on a system without it the numbers are left out, never invented.

use std::fs;

/// Clock ticks a second in `/proc`: `USER_HZ`, 100 in the ABI of every architecture this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The numbers, as far as they could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// User and system time.
    pub(super) cpu_seconds: Option<f64>,
    /// Resident memory.
    pub(super) resident_bytes: Option<f64>,
    /// Virtual memory.
    pub(super) virtual_bytes: Option<f64>,
    /// Open file descriptors.
    pub(super) open_fds: Option<f64>,
    /// The limit of open file descriptors.
    pub(super) max_fds: Option<f64>,
    /// Threads.
    pub(super) threads: Option<f64>,
    /// Start, in seconds since the epoch.
    pub(super) start_seconds: Option<f64>,
}

impl Process {
    /// Reads them now.
    pub(super) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| entries.count() as f64);
        let mut process = Self::parse(
            &text("/proc/self/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
            &text("/proc/stat"),
        );
        process.open_fds = fds;
        process
    }

    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The command may contain anything, brackets and spaces too; the fields begin after the last bracket.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        // proc(5) counts from 1; the state, field 3, is our index 0.
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let kilobytes = |key: &str| Some(word(status, key)?.parse::<f64>().ok()? * 1024.0);
        let booted = word(system, "btime").and_then(|text| text.parse::<f64>().ok());
        Self {
            cpu_seconds: ticks(14)
                .zip(ticks(15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            open_fds: None,
            max_fds: limits
                .lines()
                .find_map(|line| line.strip_prefix("Max open files"))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
            threads: word(status, "Threads:").and_then(|text| text.parse().ok()),
            start_seconds: booted
                .zip(ticks(22))
                .map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND),
        }
    }
}

fn word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_hostile_command_name() {
        let stat = "7 (a) b 9 (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 1000 1 1";
        let process = Process::parse(
            stat,
            "Name:\tholdfast\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t4\n",
            "Limit  Soft\nMax open files            1024                 4096                 files\n",
            "cpu 1 2\nbtime 1700000000\n",
        );
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!(process.resident_bytes, Some(1_048_576.0));
        assert_eq!(process.max_fds, Some(1024.0));
        assert_eq!(process.threads, Some(4.0));
        assert_eq!(process.start_seconds, Some(1_700_000_010.0));
    }

    #[test]
    fn nothing_is_invented_where_nothing_can_be_read() {
        assert_eq!(Process::parse("", "", "", ""), Process::default());
    }
}
