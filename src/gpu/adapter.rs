//! Adapters: who they are, what they offer, and the devices that they give.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::unchecked_device;

use super::device::{Device, ShaderChecks};
use super::space::MOST_INVOCATIONS;
use super::tile::{COOPERATIVE_BYTES, COOPERATIVE_SUBGROUP};
use super::{Caps, Tuning};

/// Who an adapter is, as far as the platform tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Identity {
    /// The device's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu`, or `cpu` for the CPU executor.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `unknown`.
    pub kind: String,
    /// Driver name and version, where the platform tells.
    pub driver: String,
    /// PCI vendor, or 0.
    pub vendor_id: u32,
    /// PCI device, or 0.
    pub device_id: u32,
}

/// Where a device lies that is shared.
type Slot = Mutex<Option<Arc<Device>>>;

/// An adapter that can be opened.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Who it is.
    pub identity: Identity,
    /// What it can do.
    pub caps: Caps,
    inner: wgpu::Adapter,
    /// What its devices have beside what wgpu knows of.
    beside: wgpu::Features,
    /// The devices that its executors share, if they do: without shader checks, and with them.
    shared: Option<Arc<[Slot; 2]>>,
}

impl Adapter {
    /// Every adapter on every backend that this platform offers, best first: GPUs before software.
    pub async fn all() -> Vec<Self> {
        let instance = instance();
        let found = instance.enumerate_adapters(wgpu::Backends::all()).await;
        let packed_dot = has_packed_dot(&instance);
        let mut adapters: Vec<Self> =
            found.into_iter().map(|inner| Self::new(inner, packed_dot)).filter(Self::computes).collect();
        adapters.sort_by_key(|adapter| {
            // Of the software adapters SwiftShader is several times slower than Mesa's.
            let is_slow = adapter.identity.name.contains("SwiftShader");
            (kind_rank(&adapter.identity.kind), is_slow, adapter.identity.backend == "gl")
        });
        adapters
    }

    /// The one adapter that a browser gives for a power preference, or natively the best.
    pub async fn preferred(low_power: bool) -> Option<Self> {
        let instance = instance();
        let power_preference =
            if low_power { wgpu::PowerPreference::LowPower } else { wgpu::PowerPreference::HighPerformance };
        let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
        let inner = instance.request_adapter(&options).await.ok()?;
        Some(Self::new(inner, has_packed_dot(&instance)))
    }

    fn new(inner: wgpu::Adapter, packed_dot: bool) -> Self {
        let info = inner.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "unknown",
        };
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        let identity = Identity {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            kind: kind.to_owned(),
            driver,
            vendor_id: info.vendor,
            device_id: info.device,
        };
        let beside = wgpu::Features::empty();
        let caps = caps_of(&identity, &inner, inner.features(), packed_dot);
        Self { identity, caps, inner, beside, shared: None }
    }

    /// The same adapter under an identity that the platform told another way, as browsers do; what it can do follows.
    #[must_use]
    pub fn described(self, identity: Identity) -> Self {
        let caps = caps_of(&identity, &self.inner, self.features(), self.caps.packed_dot);
        Self { identity, caps, ..self }
    }

    /// The same adapter, which shares no device, and whose devices have features beside those that wgpu knows of; what it can do follows.
    #[must_use]
    pub fn with_features(self, beside: wgpu::Features) -> Self {
        let caps = caps_of(&self.identity, &self.inner, self.inner.features() | beside, self.caps.packed_dot);
        Self { caps, beside, shared: None, ..self }
    }

    /// The same adapter, whose executors share a device as long as it is well, and what was compiled for it.
    #[must_use]
    pub fn sharing_a_device(self) -> Self {
        Self { shared: Some(Arc::default()), ..self }
    }

    fn computes(&self) -> bool {
        let (downlevel, limits) = (self.inner.get_downlevel_capabilities(), self.inner.limits());
        downlevel.flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
            && limits.max_storage_buffers_per_shader_stage >= 8
            && limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) >= MOST_INVOCATIONS
    }

    /// The adapter as wgpu knows it: for what only some platforms can be asked.
    pub fn inner(&self) -> &wgpu::Adapter {
        &self.inner
    }

    /// What the adapter allows.
    pub fn limits(&self) -> wgpu::Limits {
        self.inner.limits()
    }

    /// What the adapter offers beyond the baseline.
    pub fn features(&self) -> wgpu::Features {
        self.inner.features() | self.beside
    }

    /// The smallest and largest subgroup, in invocations.
    pub fn subgroup_sizes(&self) -> (u32, u32) {
        let info = self.inner.get_info();
        (info.subgroup_min_size, info.subgroup_max_size)
    }

    /// What is chosen for it where nothing was measured.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        Tuning::guess(&self.caps)
    }

    /// Whether a browser gives it, whose compiler wants to be told of extensions.
    pub fn is_in_browser(&self) -> bool {
        self.inner.get_info().backend == wgpu::Backend::BrowserWebGpu
    }

    /// The largest slice that may be bound, in bytes: the limit for a shard of weights.
    pub fn binding_bytes(&self) -> u64 {
        let limits = self.inner.limits();
        // wgpu holds most backends to what an i32 counts; Metal and browsers may say more, of which shaders are not told whole.
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min((1 << 31) - 4)
    }

    /// A device, or the one that is shared; a new one in its place where that has reported a fault.
    #[allow(clippy::arc_with_non_send_sync, reason = "in browsers nothing is sent between threads, natively it can be")]
    pub(super) async fn device(&self, checks: ShaderChecks) -> Result<Arc<Device>> {
        let Some(shared) = &self.shared else { return Device::open(self, checks).await.map(Arc::new) };
        let shared = &shared[usize::from(checks == ShaderChecks::On)];
        let kept = shared.lock().ok().and_then(|slot| slot.clone()).filter(|device| device.fault().is_none());
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let opened = Arc::new(Device::open(self, checks).await?);
        if let Ok(mut slot) = shared.lock() {
            *slot = Some(opened.clone());
        }
        Ok(opened)
    }

    pub(super) async fn request_device(&self, checks: ShaderChecks) -> Result<(wgpu::Device, wgpu::Queue)> {
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if self.caps.cooperative > 0 {
            wanted |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            experimental_features = experimental();
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("headstart"),
            required_features: self.inner.features() & wanted,
            required_limits: self.inner.limits(),
            experimental_features,
            ..Default::default()
        };
        // Of Mesa 26.2, lavapipe without them reads from nowhere where all invocations of a group have returned; nor is it faster.
        let may_leave_out = checks == ShaderChecks::Off && !self.identity.name.contains("llvmpipe");
        if may_leave_out && let Some(opened) = unchecked_device::request(&self.inner, &descriptor) {
            return Ok(opened);
        }
        self.inner.request_device(&descriptor).await.map_err(|error| {
            Error::adapter(format!("adapter {}", self.identity.name), format!("it gives no device: {error}"))
                .advice("Update its driver, or choose another with --adapter")
        })
    }
}

/// Leave to use what wgpu calls experimental.
#[allow(unsafe_code, reason = "the API for experimental features is unsafe")]
fn experimental() -> wgpu::ExperimentalFeatures {
    // SAFETY: what may be undefined is a text that uses the feature wrongly. The only texts that use it are this program's
    // own: whole matrices within workgroup memory, loaded and stored by whole subgroups in uniform control flow. None runs
    // before its results were held against a reference on the adapter.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// Where drivers report a budget, buffers beyond it are refused: some drivers would give them, and slow everything down or
/// lose the device later. DirectX 12 is had with DXC or not at all: wgpu would fall back to FXC, which gives up some of the texts
/// here and has not come to an end with others in minutes.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.memory_budget_thresholds.for_resource_creation = Some(97);
    let compiler = &mut descriptor.backend_options.dx12.shader_compiler;
    if matches!(compiler, wgpu::Dx12Compiler::Auto) {
        *compiler = wgpu::Dx12Compiler::default_dynamic_dxc();
    }
    wgpu::Instance::new(descriptor)
}

/// GPUs before software; unknown (browsers do not tell) as a GPU.
fn kind_rank(kind: &str) -> u8 {
    match kind {
        "discrete" => 0,
        "integrated" => 1,
        "unknown" => 2,
        "virtual" => 3,
        _ => 4,
    }
}

/// Whether the adapter is a program on the CPU: there a barrier costs a coroutine switch and shared results do not pay.
pub fn is_software(identity: &Identity) -> bool {
    let name = identity.name.to_lowercase();
    identity.kind == "software"
        || ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|s| name.contains(s))
}

fn caps_of(identity: &Identity, inner: &wgpu::Adapter, features: wgpu::Features, packed_dot: bool) -> Caps {
    let info = inner.get_info();
    let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
    let has_subgroups = features.contains(wgpu::Features::SUBGROUP) && least > 1;
    // All of Apple's own GPUs have 32, of which Metal tells nothing before a pipeline is made.
    let is_apples = info.backend == wgpu::Backend::Metal && identity.name.starts_with("Apple");
    let cooperative_subgroup = match has_subgroups {
        true if least == most => least,
        true if is_apples => 32,
        _ => 0,
    };
    Caps {
        is_software: is_software(identity),
        subgroup: if has_subgroups { least } else { 0 },
        subgroup_varies: has_subgroups && least != most,
        subgroups_directive: info.backend == wgpu::Backend::BrowserWebGpu,
        f16: features.contains(wgpu::Features::SHADER_F16),
        packed_dot,
        storage_buffers: inner.limits().max_storage_buffers_per_shader_stage,
        workgroup_bytes: inner.limits().max_compute_workgroup_storage_size,
        cooperative: cooperative_size(inner, cooperative_subgroup),
        cooperative_subgroup,
    }
}

/// The largest cooperative matrices of 16-bit floats with sums of 32 that the adapter lists and a text can name; 0 where it
/// has none, or too little else for our tiles of them.
fn cooperative_size(inner: &wgpu::Adapter, subgroup: u32) -> u32 {
    let features = inner.features();
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    let has_room = inner.limits().max_compute_workgroup_storage_size >= COOPERATIVE_BYTES
        && (1..=COOPERATIVE_SUBGROUP).contains(&subgroup);
    if !features.contains(needed) || !has_room {
        return 0;
    }
    let (half, float) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    let listed = inner.cooperative_matrix_properties();
    let is_listed = |size: &u32| {
        let sizes = [*size; 3];
        listed.iter().any(|of| [of.m_size, of.n_size, of.k_size] == sizes && (of.ab_type, of.cr_type) == (half, float))
    };
    [16, 8].into_iter().find(is_listed).unwrap_or(0)
}

/// Whether shaders may multiply packed 8-bit integers: a matter of the compiler, whatever the adapter.
fn has_packed_dot(instance: &wgpu::Instance) -> bool {
    instance.wgsl_language_features().contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct)
}
