//! Whether an adapter's subgroups are what they are told to be. In a browser nothing else has looked at them: wgpu's backend does
//! not know them, and whether lanes stand in order there is no promise.

use super::Alter;
use super::check::agrees_on;
use crate::error::Result;
use crate::format::Format;
use crate::gpu::ShaderChecks;
use crate::gpu::config::Reduce;
use crate::gpu::executor_gpu::GpuExecutor;
use crate::gpu::{Adapter, Caps, Case, Config, Executor, Tuning};
use crate::kernels::{linear, probe_reduce};

/// Whether subgroups of an adapter add up right in every way that kernels use, in a workgroup of many and in one of few, and hand
/// values around where kernels let them: on a device opened for it, see [`super::probe`]. `alter` is [`super::Options`]'.
///
/// # Errors
/// When the adapter gives no device, refuses a kernel, or is lost.
pub async fn subgroups_are_right(adapter: &Adapter, alter: &Alter<'_>) -> Result<bool> {
    let caps = adapter.caps;
    if caps.subgroup == 0 {
        return Ok(false);
    }
    let mut executor = Executor::Gpu(Box::new(GpuExecutor::open(adapter, ShaderChecks::Off).await?));
    for vector_lanes in [16, 256] {
        let config = Config { reduce: Reduce::Subgroup, vector_lanes, ..Config::guess(&caps) };
        executor.tune(Tuning::uniform(config));
        if !agrees_on(&mut executor, (probe_reduce::OP.cases)().into_iter(), alter).await? {
            return Ok(false);
        }
    }
    let config = Config { reduce: Reduce::Thread, shared_inputs: true, ..Config::guess(&caps) };
    if !config.shares_inputs(&caps) {
        return Ok(true);
    }
    executor.tune(Tuning::uniform(config));
    let is_f32 = |case: &Case| case.recording.stages[0].spec.value_of("FORMAT") == Some(Format::F32 as u32);
    agrees_on(&mut executor, (linear::OP.cases)().into_iter().filter(is_f32).take(1), alter).await
}

/// The adapter; without subgroups where pipelines' may differ in size and do not add up right, or cannot be asked: no driver
/// promises in which order their lanes stand.
pub async fn with_right_subgroups(mut adapter: Adapter, alter: &Alter<'_>) -> Adapter {
    if adapter.caps.subgroup_varies && !subgroups_are_right(&adapter, alter).await.unwrap_or(false) {
        adapter.caps = Caps { subgroup: 0, subgroup_varies: false, ..adapter.caps };
    }
    adapter
}
