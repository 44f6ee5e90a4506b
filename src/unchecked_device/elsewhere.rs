//! Where there is no Vulkan, no checks are added to texts that have none: or they cannot be left out, as in browsers.

/// None.
pub(crate) fn request(_: &wgpu::Adapter, _: &wgpu::DeviceDescriptor<'_>) -> Option<(wgpu::Device, wgpu::Queue)> {
    None
}
