//! The memory of the machine, which whatever computes on the CPU takes its buffers from. A system that promises more than
//! it has ends a program that takes it at its word, so this asks before.

use crate::engine::PlayerChoice;
use sysinfo::System;

/// What is left to the rest of the machine.
const SPARE_BYTES: u64 = 512 << 20;

/// Bytes that a model may take there; `None` where it takes memory of its own, whose size no adapter tells, and where the
/// system does not tell.
pub(super) fn free_bytes(choice: &PlayerChoice) -> Option<u64> {
    let in_host_memory = match choice {
        PlayerChoice::Cpu => true,
        PlayerChoice::Gpu(adapter) => ["software", "integrated"].contains(&adapter.identity.kind.as_str()),
    };
    let mut system = if in_host_memory { System::new().ok()? } else { return None };
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let free = system.available_memory().min(limit);
    (free > 0).then(|| free.saturating_sub(SPARE_BYTES))
}
