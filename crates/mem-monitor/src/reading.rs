//! Memory figures at one moment.

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
    /// The kernel's high-water mark of the resident set (`VmHWM`), since the process started or
    /// the mark was reset.
    RssHighWater,
    /// Resident anonymous pages (`RssAnon`): heap and stacks, as far as they were touched.
    RssAnon,
    /// Resident pages of mapped files (`RssFile`): program code, libraries, data files.
    RssFile,
    /// Reserved address space, resident or not.
    Virtual,
    /// Proportional set size: a page shared by *n* processes counts as 1/*n*.
    Pss,
    /// Live bytes of the heap counter: requested memory, touched or not.
    Heap,
    /// The heap counter's own peak of live bytes.
    HeapPeak,
    /// Bytes held by the allocator beyond the live bytes.
    AllocatorSlack,
    /// Bytes in use in all device pools.
    Device,
    /// The total of the program's own accounting; see
    /// [`MemoryMonitorBuilder::counted`](crate::MemoryMonitorBuilder::counted).
    Counted,
    /// Memory charged to the process's control group, page cache included.
    CgroupCurrent,
    /// The kernel's peak of that charge.
    CgroupPeak,
    /// The smallest hard limit of the group and its ancestors (`memory.max`).
    CgroupMax,
    /// The smallest throttling limit of the group and its ancestors (`memory.high`).
    CgroupHigh,
    /// The machine's physical memory.
    MachineTotal,
    /// Memory available to programs without swapping.
    MachineAvailable,
}

impl Metric {
    /// Every metric, in report order.
    pub const ALL: [Self; 17] = [
        Self::Rss,
        Self::RssHighWater,
        Self::RssAnon,
        Self::RssFile,
        Self::Virtual,
        Self::Pss,
        Self::Heap,
        Self::HeapPeak,
        Self::AllocatorSlack,
        Self::Device,
        Self::Counted,
        Self::CgroupCurrent,
        Self::CgroupPeak,
        Self::CgroupMax,
        Self::CgroupHigh,
        Self::MachineTotal,
        Self::MachineAvailable,
    ];

    /// Returns the name used in recordings: lower case, with the unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rss => "rss_bytes",
            Self::RssHighWater => "rss_high_water_bytes",
            Self::RssAnon => "rss_anon_bytes",
            Self::RssFile => "rss_file_bytes",
            Self::Virtual => "virtual_bytes",
            Self::Pss => "pss_bytes",
            Self::Heap => "heap_bytes",
            Self::HeapPeak => "heap_peak_bytes",
            Self::AllocatorSlack => "allocator_slack_bytes",
            Self::Device => "device_bytes",
            Self::Counted => "counted_bytes",
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

/// One line of the kernel's pressure stall information (PSI): the time tasks waited for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    /// Percent of the last 10 s, 0 to 100.
    pub avg10_percent: f64,
    /// Percent of the last 60 s.
    pub avg60_percent: f64,
    /// Percent of the last 300 s.
    pub avg300_percent: f64,
    /// Total waiting time.
    #[serde(
        rename = "total_seconds",
        serialize_with = "crate::serialize::as_seconds"
    )]
    pub total: Duration,
}

/// Pressure stall information on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Option<Stall>,
    /// Every runnable task waited.
    pub full: Option<Stall>,
}

/// Figures of one device memory pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceReading {
    /// The pool's name.
    #[serde(serialize_with = "crate::serialize::through")]
    pub name: Arc<str>,
    /// Bytes used by live objects.
    pub in_use_bytes: Option<u64>,
    /// Bytes that the pool has reserved on the device.
    pub reserved_bytes: Option<u64>,
}

/// The known metrics.
///
/// Every sample holds one, and its memory is usually not in the cache when the sampler writes it. An
/// array of `Option`s would be twice the size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Values {
    bytes: [u64; Metric::ALL.len()],
    /// One bit per metric, by index. Unknown metrics have 0 bytes.
    known: u32,
}

impl Values {
    pub(crate) fn get(&self, metric: Metric) -> Option<u64> {
        let i = metric.index();
        (self.known & (1 << i) != 0).then_some(self.bytes[i])
    }

    fn set(&mut self, metric: Metric, bytes: u64) {
        let i = metric.index();
        self.bytes[i] = bytes;
        self.known |= 1 << i;
    }

    fn set_unknown(&mut self, metric: Metric) {
        let i = metric.index();
        self.bytes[i] = 0;
        self.known &= !(1 << i);
    }
}

/// Figures at one moment. Unknown figures are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    values: Values,
    /// Pressure stall information of the machine.
    pub pressure: Option<Pressure>,
    /// Pressure stall information of the process's control group.
    pub cgroup_pressure: Option<Pressure>,
    /// The smallest limit of the process's control group and its ancestors.
    pub cgroup_limit: Option<Limit>,
    /// Device pools.
    pub devices: Vec<DeviceReading>,
}

impl Reading {
    /// Returns the value of a metric, or `None` if it is unknown.
    pub fn bytes(&self, metric: Metric) -> Option<u64> {
        self.values.get(metric)
    }

    /// Sets the value of a metric.
    pub fn set_bytes(&mut self, metric: Metric, bytes: u64) {
        self.values.set(metric, bytes);
    }

    /// Marks a metric as unknown.
    pub fn set_unknown(&mut self, metric: Metric) {
        self.values.set_unknown(metric);
    }

    /// Sets the value of a metric if it is known.
    pub(crate) fn set_if_known(&mut self, metric: Metric, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.set_bytes(metric, bytes);
        }
    }

    /// Returns the usage of this process: its resident set, or its live heap if the resident set is
    /// unknown.
    pub fn usage_bytes(&self) -> Option<u64> {
        self.bytes(Metric::Rss).or(self.bytes(Metric::Heap))
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Copies the known values of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        for metric in Metric::ALL {
            self.set_if_known(metric, other.bytes(metric));
        }
        self.pressure = other.pressure.or(self.pressure);
        self.cgroup_pressure = other.cgroup_pressure.or(self.cgroup_pressure);
        if other.cgroup_limit.is_some() {
            self.cgroup_limit.clone_from(&other.cgroup_limit);
        }
        self.devices.extend_from_slice(&other.devices);
    }
}

/// A map of the known metrics; unknown metrics are left out.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_own_index_and_name() {
        let mut reading = Reading::default();
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.index(), i);
            reading.set_bytes(metric, i as u64);
        }
        let json = serde_json::to_value(&reading).unwrap();
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(reading.bytes(metric), Some(i as u64));
            assert_eq!(json[metric.name()], i as u64);
        }
    }

    #[test]
    fn unknown_metrics_are_left_out_of_json() {
        let mut reading = Reading::default();
        assert_eq!(serde_json::to_string(&reading).unwrap(), "{}");
        reading.set_bytes(Metric::Rss, 1);
        reading.set_unknown(Metric::Rss);
        assert_eq!(reading, Reading::default());
    }

    #[test]
    fn merging_keeps_values_unknown_to_the_other() {
        let mut one = Reading::default();
        one.set_bytes(Metric::Rss, 1);
        one.set_bytes(Metric::Heap, 2);
        let mut two = Reading::default();
        two.set_bytes(Metric::Heap, 3);
        one.merge(&two);
        assert_eq!(one.bytes(Metric::Rss), Some(1));
        assert_eq!(one.bytes(Metric::Heap), Some(3));
    }
}
