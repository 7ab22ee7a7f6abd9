//! What is known about memory at one moment.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::Limit;

/// A quantity in bytes that a [`Reading`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Resident set size: the process's pages that are in physical memory.
    Rss,
    /// The kernel's own high-water mark of the resident set (`VmHWM`), over the process's life or
    /// since somebody reset it.
    RssHighWater,
    /// The part of the resident set that belongs to mapped files: program code, libraries, data
    /// files that were mapped (`RssFile`).
    RssFile,
    /// Address space that is reserved, resident or not.
    Virtual,
    /// Proportional set size: a page shared by *n* processes counts as 1/*n*.
    Pss,
    /// Live bytes of a plugged-in heap counter.
    Heap,
    /// The greatest number of live bytes that the heap counter itself has seen.
    HeapPeak,
    /// Bytes that the allocator holds beyond the live ones.
    AllocatorSlack,
    /// Bytes in use in all plugged-in device pools.
    Device,
    /// What the process's control group is charged with, page cache included.
    CgroupCurrent,
    /// The greatest charge the kernel has seen in that group.
    CgroupPeak,
    /// The least hard limit of the group and its ancestors (`memory.max`).
    CgroupMax,
    /// The least throttling limit of the group and its ancestors (`memory.high`).
    CgroupHigh,
    /// The machine's physical memory.
    MachineTotal,
    /// What the machine could still give to programs without swapping.
    MachineAvailable,
}

impl Metric {
    /// Every metric, in the order in which reports list them.
    pub const ALL: [Self; 15] = [
        Self::Rss,
        Self::RssHighWater,
        Self::RssFile,
        Self::Virtual,
        Self::Pss,
        Self::Heap,
        Self::HeapPeak,
        Self::AllocatorSlack,
        Self::Device,
        Self::CgroupCurrent,
        Self::CgroupPeak,
        Self::CgroupMax,
        Self::CgroupHigh,
        Self::MachineTotal,
        Self::MachineAvailable,
    ];

    /// The name in recordings: lower case, with the unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rss => "rss_bytes",
            Self::RssHighWater => "rss_high_water_bytes",
            Self::RssFile => "rss_file_bytes",
            Self::Virtual => "virtual_bytes",
            Self::Pss => "pss_bytes",
            Self::Heap => "heap_bytes",
            Self::HeapPeak => "heap_peak_bytes",
            Self::AllocatorSlack => "allocator_slack_bytes",
            Self::Device => "device_bytes",
            Self::CgroupCurrent => "cgroup_current_bytes",
            Self::CgroupPeak => "cgroup_peak_bytes",
            Self::CgroupMax => "cgroup_max_bytes",
            Self::CgroupHigh => "cgroup_high_bytes",
            Self::MachineTotal => "machine_total_bytes",
            Self::MachineAvailable => "machine_available_bytes",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// One line of the kernel's pressure stall information (PSI): how long tasks waited for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    /// Percent of the last 10 s, 0 to 100.
    pub avg10_percent: f64,
    /// Percent of the last 60 s.
    pub avg60_percent: f64,
    /// Percent of the last 300 s.
    pub avg300_percent: f64,
    /// Time waited in all.
    #[serde(serialize_with = "as_seconds")]
    pub total: Duration,
}

/// Pressure stall information on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Option<Stall>,
    /// Every task that could have run waited.
    pub full: Option<Stall>,
}

/// What a device's memory pool holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceReading {
    /// The name under which the pool was plugged in.
    #[serde(serialize_with = "crate::shared::through")]
    pub name: Arc<str>,
    /// Bytes that live objects use.
    pub in_use_bytes: Option<u64>,
    /// Bytes that the pool has taken from the device.
    pub reserved_bytes: Option<u64>,
}

/// A value for each metric that is known.
///
/// As small as it can be, since every sample is one and the sampler finds its memory cold at every
/// tick: an array of `Option`s would be twice the size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Values {
    bytes: [u64; Metric::ALL.len()],
    /// A bit for each metric, by its index. What is unknown has 0 bytes.
    known: u16,
}

impl Values {
    pub(crate) fn get(&self, metric: Metric) -> Option<u64> {
        let i = metric.index();
        (self.known & (1 << i) != 0).then_some(self.bytes[i])
    }

    pub(crate) fn set(&mut self, metric: Metric, value: Option<u64>) {
        let i = metric.index();
        match value {
            Some(bytes) => {
                self.bytes[i] = bytes;
                self.known |= 1 << i;
            }
            None => {
                self.bytes[i] = 0;
                self.known &= !(1 << i);
            }
        }
    }
}

/// What is known at one moment. What no source could tell is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    values: Values,
    /// The machine's pressure stall information.
    pub pressure: Option<Pressure>,
    /// That of the process's control group.
    pub cgroup_pressure: Option<Pressure>,
    /// The least limit that the process's control group and its ancestors set.
    pub cgroup_limit: Option<Limit>,
    /// Plugged-in device pools.
    pub devices: Vec<DeviceReading>,
}

impl Reading {
    /// The value of a metric, if a source knew it.
    pub fn bytes(&self, metric: Metric) -> Option<u64> {
        self.values.get(metric)
    }

    /// Sets a metric; `None` makes it unknown.
    pub fn set_bytes(&mut self, metric: Metric, value: Option<u64>) {
        self.values.set(metric, value);
    }

    /// What this process uses: its resident set, or its live heap where that is unknown.
    pub fn usage_bytes(&self) -> Option<u64> {
        self.bytes(Metric::Rss).or(self.bytes(Metric::Heap))
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Takes over what `other` knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        for metric in Metric::ALL {
            if let known @ Some(_) = other.bytes(metric) {
                self.set_bytes(metric, known);
            }
        }
        self.pressure = other.pressure.or(self.pressure);
        self.cgroup_pressure = other.cgroup_pressure.or(self.cgroup_pressure);
        if other.cgroup_limit.is_some() {
            self.cgroup_limit.clone_from(&other.cgroup_limit);
        }
        self.devices.extend_from_slice(&other.devices);
    }
}

/// A map of what is known; unknown metrics are left out.
impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for metric in Metric::ALL {
            if let Some(value) = self.bytes(metric) {
                map.serialize_entry(metric.name(), &value)?;
            }
        }
        if let Some(pressure) = &self.pressure {
            map.serialize_entry("pressure", pressure)?;
        }
        if let Some(pressure) = &self.cgroup_pressure {
            map.serialize_entry("cgroup_pressure", pressure)?;
        }
        if !self.devices.is_empty() {
            map.serialize_entry("devices", &self.devices)?;
        }
        map.end()
    }
}

pub(crate) fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_own_place_and_name() {
        let mut reading = Reading::default();
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.index(), i);
            reading.set_bytes(metric, Some(i as u64));
        }
        let json = serde_json::to_value(&reading).unwrap();
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(reading.bytes(metric), Some(i as u64));
            assert_eq!(json[metric.name()], i as u64);
        }
    }

    #[test]
    fn unknown_metrics_are_left_out_of_json_and_never_zero() {
        assert_eq!(serde_json::to_string(&Reading::default()).unwrap(), "{}");
    }

    #[test]
    fn merging_keeps_what_the_other_does_not_know() {
        let mut one = Reading::default();
        one.set_bytes(Metric::Rss, Some(1));
        one.set_bytes(Metric::Heap, Some(2));
        let mut two = Reading::default();
        two.set_bytes(Metric::Heap, Some(3));
        one.merge(&two);
        assert_eq!(one.bytes(Metric::Rss), Some(1));
        assert_eq!(one.bytes(Metric::Heap), Some(3));
    }
}
