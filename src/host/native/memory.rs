//! The memory that a model's buffers come from: the machine's, for what computes on the CPU or shares its memory, or the
//! adapter's own, as its driver reports it. A system that promises more than it has ends a program that takes it at its
//! word, so this asks before.

#[cfg(not(target_vendor = "apple"))]
use super::vulkan_memory::free_adapter_bytes;
use crate::engine::ExecutorChoice;
#[cfg(any(test, target_vendor = "apple"))]
use crate::gpu::Adapter;
use sysinfo::System;

/// What is left to the rest of the machine.
const SPARE_BYTES: u64 = 512 << 20;

/// Bytes that a model may take there; `None` where neither driver nor system tells.
pub(super) fn free_bytes(choice: &ExecutorChoice) -> Option<u64> {
    match choice {
        ExecutorChoice::Cpu => free_host_bytes(),
        ExecutorChoice::Gpu(adapter) => match adapter.identity.kind.as_str() {
            "software" => free_host_bytes(),
            "integrated" => [free_host_bytes(), free_adapter_bytes(adapter)].into_iter().flatten().min(),
            _ => free_adapter_bytes(adapter),
        },
    }
}

fn free_host_bytes() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let free = system.available_memory().min(limit);
    (free > 0).then(|| free.saturating_sub(SPARE_BYTES))
}

/// Apple's GPUs take the machine's own memory, and there is no Vulkan to ask.
#[cfg(target_vendor = "apple")]
fn free_adapter_bytes(_: &Adapter) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_runs_on_this_machine_has_some_memory_and_no_more_than_there_is() {
        let adapters = pollster::block_on(Adapter::all()).into_iter().map(ExecutorChoice::Gpu);
        for choice in adapters.chain([ExecutorChoice::Cpu]) {
            let Some(free) = free_bytes(&choice) else { continue };
            assert!((1 << 20..1 << 50).contains(&free), "{choice:?}: {free} bytes");
        }
    }
}
