//! A device of an adapter with all that outlives an executor: its queue, what was compiled for it, and the first fault that
//! it reported.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::error::Result;

use super::adapter::Adapter;
use super::op::{Access, Op, Variant};

/// Whether bounds checks stay in the shaders: those that wgpu writes into texts, and those that drivers add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShaderChecks {
    /// As WebGPU demands: for tests, and for files whose every number has not been checked.
    On,
    /// Left out: 2 % to 90 % faster on native adapters; ignored by browsers. Of Vulkan drivers, those that they add as well: SwiftShader
    /// reads prompts 1.2 times as fast for that, and a GPU of NVIDIA's has a fifth to a half less to do (docs/tuning.md).
    Off,
}

/// A text, compiled.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) pipeline: wgpu::ComputePipeline,
}

/// Texts that are kept compiled: a model has some hundreds, and each takes memory.
const MOST_KEPT: usize = 1024;

/// A device, which executors may share: a fault that one of them runs into is one for all.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) inner: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    checks: ShaderChecks,
    fault: Arc<Mutex<Option<String>>>,
    /// By text.
    pipelines: Mutex<HashMap<Box<str>, Arc<Pipeline>>>,
}

impl Device {
    pub(super) async fn open(adapter: &Adapter, checks: ShaderChecks) -> Result<Self> {
        let (inner, queue) = adapter.request_device(checks).await?;
        let fault: Arc<Mutex<Option<String>>> = Arc::default();
        let report = |fault: &Mutex<Option<String>>, message: String| {
            if let Ok(mut slot) = fault.lock() {
                slot.get_or_insert(message);
            }
        };
        let (on_error, on_loss) = (fault.clone(), fault.clone());
        inner.on_uncaptured_error(Arc::new(move |error: wgpu::Error| report(&on_error, error.to_string())));
        inner.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                report(&on_loss, format!("the device was lost: {message}"));
            }
        });
        Ok(Self { inner, queue, checks, fault, pipelines: Mutex::default() })
    }

    /// The first fault that it reported.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().ok().and_then(|slot| slot.clone())
    }

    /// A text, compiled now where it is not. Nobody waits for what another compiles: at worst it is done twice.
    pub(super) fn pipeline(&self, op: &Op, variant: &Variant, text: &str) -> Arc<Pipeline> {
        let kept = || self.pipelines.lock().ok()?.get(text).cloned();
        if let Some(kept) = kept() {
            return kept;
        }
        let made = Arc::new(self.make(op, variant, text));
        if self.pipelines.lock().is_ok_and(|pipelines| pipelines.len() >= MOST_KEPT) {
            self.forget_unused();
        }
        if let Ok(mut pipelines) = self.pipelines.lock() {
            pipelines.insert(text.into(), made.clone());
        }
        made
    }

    /// Forgets what was compiled and is used by nobody.
    pub(super) fn forget_unused(&self) {
        if let Ok(mut pipelines) = self.pipelines.lock() {
            pipelines.retain(|_, made| Arc::strong_count(made) > 1);
        }
    }

    fn make(&self, op: &Op, variant: &Variant, text: &str) -> Pipeline {
        let entry = |binding: u32, access: Access| {
            let ty = match access {
                Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
            };
            let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
            wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
        };
        let mut entries = vec![entry(0, Access::Read)];
        entries.extend(variant.bindings(op).enumerate().map(|(i, (_, access))| entry(i as u32 + 1, access)));
        let label = Some(op.name);
        let layout = self.inner.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = self.inner.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text.into()) };
        let module = match self.checks {
            ShaderChecks::On => self.inner.create_shader_module(source),
            ShaderChecks::Off => self.unchecked_module(source),
        };
        let pipeline = self.inner.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(variant.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Pipeline { layout, pipeline }
    }

    /// Worth 2 to 20 % on lavapipe and up to 1.9 times on SwiftShader.
    #[allow(unsafe_code, reason = "the API for leaving out bounds checks is unsafe")]
    fn unchecked_module(&self, source: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
        // SAFETY: the texts are this program's own, every index in them is bounded by recorded shapes, and the test
        // suite watches every index of every kernel (tests/bounds.rs); token ids and expert ids are checked before they reach a buffer.
        unsafe { self.inner.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    const TEXT: &str = "@group(0) @binding(0) var<storage, read> params: array<u32>;
        @group(0) @binding(1) var<storage, read_write> words: array<u32>;
        @compute @workgroup_size(1) fn main() { words[0] = params[0]; }";

    static OP: Op = Op {
        name: "copy",
        variants: &[Variant::only("main", TEXT, &[], crate::gpu::lower::THREADS)],
        bindings: &[("words", Access::Write)],
        params: &[],
        reference: |_| (),
        cases: Vec::new,
    };

    #[test]
    fn a_shared_device_keeps_what_it_compiled_and_goes_with_a_fault() {
        let Some(alone) = block_on(Adapter::all()).into_iter().next() else {
            assert!(std::env::var("HEADSTART_TEST_GPU").is_ok_and(|word| word == "skip"), "no adapter to test on");
            return;
        };
        let open = |adapter: &Adapter, checks| block_on(adapter.device(checks)).expect("a device");
        let device = |adapter: &Adapter| open(adapter, ShaderChecks::On);
        assert!(!Arc::ptr_eq(&device(&alone), &device(&alone)), "nobody asked for a shared one");
        let shared = alone.sharing_a_device();
        let (first, same) = (device(&shared), device(&shared.clone()));
        assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &open(&shared, ShaderChecks::Off)));

        let compiled = || first.pipeline(&OP, &OP.variants[0], TEXT);
        let made = compiled();
        assert!(Arc::ptr_eq(&made, &compiled()));
        first.forget_unused();
        assert!(Arc::ptr_eq(&made, &compiled()), "what is used was forgotten");
        let n_kept = || first.pipelines.lock().expect("pipelines").len();
        drop(made);
        assert_eq!(n_kept(), 1);
        first.forget_unused();
        assert_eq!(n_kept(), 0);

        // No buffer may be mapped both ways.
        assert_eq!(first.fault(), None);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE;
        let _ = first.inner.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage,
            mapped_at_creation: false,
        });
        assert!(first.fault().is_some());
        let new = device(&shared);
        assert!(!Arc::ptr_eq(&first, &new) && new.fault().is_none());
        assert!(Arc::ptr_eq(&new, &device(&shared)));
    }
}
