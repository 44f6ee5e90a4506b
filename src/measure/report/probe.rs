//! What an adapter can do at best: the limits that every other figure is held against.

use crate::measure::Spread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The probes of an adapter, in the order of [`ProbeKind`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Probes(pub Vec<Probe>);

/// One limit, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// What was measured.
    pub kind: ProbeKind,
    /// In the unit of its kind.
    pub value: Spread,
    /// Whether the kernel's results were right; a probe that computes wrongly is no limit.
    pub right: bool,
}

/// What a probe measures. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Reading a buffer past the caches, in 10^9 bytes per second.
    Read,
    /// Copying a buffer past the caches, in 10^9 bytes read and written per second.
    Copy,
    /// Fused multiply-adds in f32, in 10^9 operations (two to each) per second.
    FmaF32,
    /// The same in f16; only where the adapter has it.
    FmaF16,
    /// Packed dot products of four 8-bit integers, in 10^9 operations (eight to each) per second.
    DotI8,
    /// One more dispatch in a pass, in microseconds.
    Dispatch,
    /// Submitting a pass of one dispatch and waiting for its end, in microseconds.
    Submit,
    /// Bringing 4 bytes back to the host, in microseconds.
    Readback,
    /// Writing a buffer from the host, in 10^9 bytes per second.
    Upload,
    /// Compiling a pipeline that was never compiled before, in milliseconds.
    Compile,
}

impl ProbeKind {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Copy,
        Self::FmaF32,
        Self::FmaF16,
        Self::DotI8,
        Self::Dispatch,
        Self::Submit,
        Self::Readback,
        Self::Upload,
        Self::Compile,
    ];

    /// In words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Copy => "copy",
            Self::FmaF32 => "FMA f32",
            Self::FmaF16 => "FMA f16",
            Self::DotI8 => "dot 4x8",
            Self::Dispatch => "dispatch",
            Self::Submit => "submit",
            Self::Readback => "readback",
            Self::Upload => "upload",
            Self::Compile => "compile",
        }
    }

    /// The unit of its figure.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Read | Self::Copy | Self::Upload => "GB/s",
            Self::FmaF32 | Self::FmaF16 | Self::DotI8 => "Gop/s",
            Self::Dispatch | Self::Submit | Self::Readback => "µs",
            Self::Compile => "ms",
        }
    }

    /// Whether more of it is better: rates, not times.
    #[must_use]
    pub fn is_rate(self) -> bool {
        matches!(self.unit(), "GB/s" | "Gop/s")
    }
}

impl Probes {
    /// The median of a limit, in its kind's unit; `None` where it was not measured or not right.
    #[must_use]
    pub fn limit(&self, kind: ProbeKind) -> Option<f64> {
        let probe = self.0.iter().find(|probe| probe.kind == kind)?;
        (probe.right && probe.value.median > 0.0).then_some(probe.value.median)
    }
}
