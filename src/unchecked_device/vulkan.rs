//! Devices of Vulkan drivers without robust buffer access: bounds checks that the driver adds, whatever the texts say. wgpu asks for
//! them wherever they are offered.

use ash::{ext, vk};
use wgpu::hal::api::Vulkan;

/// As `wgpu::Adapter::request_device`; none where the driver is no Vulkan driver, or gives no such device.
#[allow(unsafe_code, reason = "wgpu has no other way to leave these checks out")]
pub(crate) fn request(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let features = descriptor.required_features;
    // SAFETY: the device is made on this adapter's own handles as wgpu makes it, with the one family of queues that wgpu uses, and of
    // what wgpu asks for lacks robust buffer access alone, in both its forms. wgpu rests on that only for the bounds in modules that it
    // checks itself; such a device is given none (`gpu::device`), and why texts stay within bounds by themselves is said there.
    unsafe {
        let inner = adapter.as_hal::<Vulkan>()?;
        let mut extensions = inner.required_device_extensions(features);
        extensions.retain(|name| *name != ext::robustness2::NAME);
        let mut enabled = inner.physical_device_features(&extensions, features);
        let core = enabled.get_core().robust_buffer_access(false);
        let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
        let info = enabled.add_to_device_create(info).enabled_features(&core);
        let instance = inner.shared_instance().raw_instance();
        let device = instance.create_device(inner.raw_physical_device(), &info, None).ok()?;
        let (limits, hints) = (&descriptor.required_limits, &descriptor.memory_hints);
        let opened = inner.device_from_raw(device, None, &extensions, features, limits, hints, 0, 0).ok()?;
        adapter.create_device_from_hal::<Vulkan>(opened, descriptor).ok()
    }
}
