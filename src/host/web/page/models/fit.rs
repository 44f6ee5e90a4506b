//! Whether a model that is known fits, before a byte of it is fetched: its weights and the keys and values of a context
//! against what the adapter binds, what the browser says of memory, and what it has room to keep. The engine
//! plans every buffer, and asks again, when the model is loaded.

use super::super::model_card::megabytes;
use crate::host::hub::KnownModel;
use crate::host::web::protocol::AdapterCard;
use crate::host::web::source::get;
use crate::kernels::cache::CacheTypes;

/// What a model takes on the adapter at a context, and what stands against it.
pub(super) struct Fit {
    /// Bytes of weights and cache.
    pub(super) bytes: f64,
    /// The context, which is no longer than the model was made for.
    pub(super) n_context: u64,
    /// Why it does not fit.
    pub(super) obstacle: Option<String>,
}

impl Fit {
    pub(super) fn of(model: &KnownModel, n_context: u32, adapter: Option<&AdapterCard>) -> Self {
        let n_context = u64::from(n_context).min(model.shape.context_length().into());
        let element_bytes = CacheTypes::usual(adapter.is_some_and(|adapter| !adapter.takes_host_memory)).keys.bytes();
        let memory = model.memory(n_context, element_bytes);
        let bytes = memory.bytes() as f64;
        // Weights are cut into shards; the keys of a layer are one buffer.
        let keys = model.shape.key_bytes(n_context, element_bytes) as f64;
        let obstacle = adapter.and_then(|adapter| {
            if adapter.binding_bytes > 0.0 && keys > adapter.binding_bytes {
                let most = adapter.binding_bytes / keys * n_context as f64;
                return Some(format!("too long a context: at most {most:.0} tokens"));
            }
            let most = adapter.takes_host_memory.then(host_bytes).flatten()?;
            (bytes > most).then(|| format!("more than this computer's memory, {}", megabytes(most)))
        });
        Self { bytes, n_context, obstacle }
    }
}

/// The computer's memory, where the browser tells; it tells no more than 8 GiB.
fn host_bytes() -> Option<f64> {
    const MOST_TOLD: f64 = 8.0;
    let told = get(&get(&js_sys::global(), "navigator"), "deviceMemory").as_f64()?;
    (told < MOST_TOLD).then_some(told * f64::from(1 << 30))
}
