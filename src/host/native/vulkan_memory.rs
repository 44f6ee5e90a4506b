//! What is free of an adapter's own memory, as its Vulkan driver tells.

use crate::gpu::Adapter;
use ash::vk;

/// What is left on an adapter of its own memory: to other programs, and to what a driver allocates beside buffers.
const SPARE_ADAPTER_BYTES: u64 = 256 << 20;

/// What a Vulkan driver says this program may still take of the adapter's largest heap of its own memory.
#[allow(unsafe_code, reason = "the driver can only be asked through its raw handles")]
pub(super) fn free_adapter_bytes(adapter: &Adapter) -> Option<u64> {
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    // SAFETY: nothing is destroyed through these handles, and they outlive the calls, as the guard holds the adapter.
    // The instance has the query, which is core since Vulkan 1.1, below which wgpu gives no such adapter; and the
    // budget is chained only where the device has that extension.
    let heaps = unsafe {
        let inner = adapter.inner().as_hal::<wgpu::hal::api::Vulkan>()?;
        let (instance, device) = (inner.shared_instance(), inner.raw_physical_device());
        if instance.instance_api_version() < vk::API_VERSION_1_1 {
            return None;
        }
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
        let has_budget = inner.physical_device_capabilities().supports_extension(ash::ext::memory_budget::NAME);
        if has_budget {
            properties = properties.push_next(&mut budget);
        }
        instance.raw_instance().get_physical_device_memory_properties2(device, &mut properties);
        properties.memory_properties
    };
    let own = (0..heaps.memory_heap_count as usize)
        .filter(|&heap| heaps.memory_heaps[heap].flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
    let free = own.map(|heap| match budget.heap_budget[heap] {
        // A driver without budgets tells only how large the heap is.
        0 => heaps.memory_heaps[heap].size,
        budgeted => budgeted.saturating_sub(budget.heap_usage[heap]),
    });
    free.max().map(|free| free.saturating_sub(SPARE_ADAPTER_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vulkan_driver_tells_of_its_heaps() {
        let adapters = pollster::block_on(Adapter::all());
        for adapter in adapters.iter().filter(|adapter| adapter.identity.backend == "vulkan") {
            assert!(free_adapter_bytes(adapter).is_some_and(|free| free > 1 << 20), "{}", adapter.identity.name);
        }
    }
}
