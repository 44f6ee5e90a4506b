//! What the browser says about its adapter, read from `navigator.gpu`, beside what wgpu sees of the same one:
//! wgpu's browser backend knows no name, and not every feature.

use super::protocol::{AdapterCard, NoGpu, Power, Row};
use super::source::get;
use crate::gpu::Adapter;
use crate::gpu::adapter::{Identity, is_software};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Asks the browser for its fast adapter, or for the one that takes less power.
///
/// # Errors
/// Why there is none. A worker cannot tell whether the window has WebGPU, so that case is the window's to add.
pub(crate) async fn request(power: Power) -> Result<JsValue, NoGpu> {
    let global = js_sys::global();
    let gpu = get(&get(&global, "navigator"), "gpu");
    if gpu.is_undefined() {
        return Err(if get(&global, "isSecureContext").is_truthy() { NoGpu::NoApi } else { NoGpu::Insecure });
    }
    let preference = match power {
        Power::HighPerformance => "high-performance",
        Power::LowPower => "low-power",
    };
    let options = Object::new();
    let asked = Reflect::set(&options, &"powerPreference".into(), &preference.into())
        .and_then(|_| get(&gpu, "requestAdapter").dyn_into::<Function>())
        .and_then(|request| request.call1(&gpu, &options))
        .and_then(JsCast::dyn_into::<Promise>);
    let Ok(promise) = asked else { return Err(NoGpu::NoApi) };
    match JsFuture::from(promise).await {
        Ok(adapter) if !adapter.is_null() && !adapter.is_undefined() => Ok(adapter),
        _ => Err(NoGpu::NoAdapter),
    }
}

/// The name of the adapter that the browser gives for the other wish, if it is another adapter. Browsers do not say so:
/// it is another where it is told in other words.
async fn other_than(browser: &JsValue, power: Power) -> Option<String> {
    let other = request(power.other()).await.ok()?;
    let words = |adapter| ["vendor", "architecture", "device", "description"].map(|key| text(adapter, key));
    (words(&other) != words(browser)).then(|| name(&other))
}

/// Both views of one adapter, row by row. `found` goes by the browser's name.
pub(crate) async fn card(power: Power, browser: &JsValue, found: &Adapter) -> AdapterCard {
    let name = found.identity.name.clone();
    let software = is_software(&found.identity);
    let remark = if software { "Software renderer: it runs on the CPU, and is slow." } else { "" };
    AdapterCard {
        name,
        remark: remark.into(),
        power,
        binding_bytes: found.limits().max_storage_buffer_binding_size as f64,
        subgroups: found.caps.subgroup > 0,
        takes_host_memory: software,
        other: other_than(browser, power).await,
        identity: identity(browser, &found.identity, found.features()),
        limits: limit_rows(browser, &found.limits()),
    }
}

/// What stands in the adapter's place when there is none.
pub(crate) fn cpu_card() -> AdapterCard {
    AdapterCard {
        name: "The CPU".into(),
        remark: "No GPU in use: plain code on one thread of the processor.".into(),
        takes_host_memory: true,
        ..AdapterCard::default()
    }
}

/// The shortest name that tells this adapter from others: its description, or its vendor and architecture.
pub(crate) fn name(adapter: &JsValue) -> String {
    let description = text(adapter, "description");
    if !description.is_empty() {
        return description;
    }
    let parts = [text(adapter, "vendor"), text(adapter, "architecture"), text(adapter, "device")];
    let name = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ");
    if name.is_empty() { "not named by the browser".into() } else { name }
}

fn identity(adapter: &JsValue, wgpu: &Identity, features: wgpu::Features) -> Vec<Row> {
    let id = |n: u32| if n == 0 { String::new() } else { format!("{n:#06x}") };
    let told = |key| text(adapter, key);
    let has = |name, feature| (yes_no(has_feature(adapter, name)), yes_no(features.contains(feature)));
    let row = |what: &str, (browser, wgpu): (String, String)| Row { what: what.into(), browser, wgpu };
    vec![
        row("Vendor", (told("vendor"), id(wgpu.vendor_id))),
        row("Architecture", (told("architecture"), String::new())),
        row("Device", (told("device"), id(wgpu.device_id))),
        row("Description", (told("description"), wgpu.name.clone())),
        row("Backend", ("WebGPU".into(), wgpu.backend.clone())),
        row("Fallback", (fallback(adapter), wgpu.kind.clone())),
        row("Half floats", has("shader-f16", wgpu::Features::SHADER_F16)),
        row("Subgroups", {
            let (browser, wgpu) = has("subgroups", wgpu::Features::SUBGROUP);
            (browser + &subgroup_sizes(adapter), wgpu)
        }),
        row("Timestamps", has("timestamp-query", wgpu::Features::TIMESTAMP_QUERY)),
    ]
}

/// The limits that decide which models fit and which kernels run.
fn limit_rows(adapter: &JsValue, limits: &wgpu::Limits) -> Vec<Row> {
    let told = get(adapter, "limits");
    let row = |what: &str, key: &str, wgpu: u64, show: fn(u64) -> String| Row {
        what: what.into(),
        // A limit is a whole number below 2^53.
        browser: get(&told, key).as_f64().map(|limit| show(limit as u64)).unwrap_or_default(),
        wgpu: show(wgpu),
    };
    vec![
        row("Buffer", "maxBufferSize", limits.max_buffer_size, binary_size),
        row("Storage binding", "maxStorageBufferBindingSize", limits.max_storage_buffer_binding_size, binary_size),
        row(
            "Storage buffers per stage",
            "maxStorageBuffersPerShaderStage",
            limits.max_storage_buffers_per_shader_stage.into(),
            count,
        ),
        row(
            "Storage offset alignment",
            "minStorageBufferOffsetAlignment",
            limits.min_storage_buffer_offset_alignment.into(),
            binary_size,
        ),
        row(
            "Threads per workgroup",
            "maxComputeInvocationsPerWorkgroup",
            limits.max_compute_invocations_per_workgroup.into(),
            count,
        ),
        row(
            "Workgroup memory",
            "maxComputeWorkgroupStorageSize",
            limits.max_compute_workgroup_storage_size.into(),
            binary_size,
        ),
        row(
            "Workgroups per dimension",
            "maxComputeWorkgroupsPerDimension",
            limits.max_compute_workgroups_per_dimension.into(),
            count,
        ),
    ]
}

/// A word of `adapter.info`, empty where the browser keeps it to itself.
fn text(adapter: &JsValue, key: &str) -> String {
    get(&get(adapter, "info"), key).as_string().unwrap_or_default()
}

/// Whether the adapter is the slow stand-in; the answer moved from the adapter to its info over time.
fn fallback(adapter: &JsValue) -> String {
    let told = get(&get(adapter, "info"), "isFallbackAdapter");
    let told = if told.is_undefined() { get(adapter, "isFallbackAdapter") } else { told };
    told.as_bool().map(yes_no).unwrap_or_default()
}

/// Whether the browser says that an adapter has a feature.
pub(crate) fn has_feature(adapter: &JsValue, feature: &str) -> bool {
    let features = get(adapter, "features");
    let has = get(&features, "has").dyn_into::<Function>().and_then(|has| has.call1(&features, &feature.into()));
    has.is_ok_and(|has| has.is_truthy())
}

fn subgroup_sizes(adapter: &JsValue) -> String {
    let info = get(adapter, "info");
    match (get(&info, "subgroupMinSize").as_f64(), get(&info, "subgroupMaxSize").as_f64()) {
        (Some(min), Some(max)) if min == max => format!(", {min} wide"),
        (Some(min), Some(max)) => format!(", {min} to {max} wide"),
        _ => String::new(),
    }
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.into()
}

fn count(n: u64) -> String {
    n.to_string()
}

fn binary_size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
