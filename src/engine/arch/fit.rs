//! Whether a model fits: its buffers planned at a context with no device at hand, held against what an adapter binds and
//! against the memory that its driver reports; and, where it does not fit, what of the same model would.

use crate::error::Error;
use crate::format::{Format, repack};
use crate::gpu::{Arena, Purpose};
use crate::kernels::cache::{CacheType, CacheTypes};
use crate::model::Model;

use super::network::Network;
use crate::engine::load::options::{Choices, Memory};
use crate::engine::load::upload::{Upload, Uploads};

/// What there is room for on an executor.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The largest slice that may be bound, in bytes.
    pub binding_bytes: u64,
    /// The largest shard of weights, in bytes.
    pub shard_bytes: u64,
    /// Bytes that all buffers may take together, where that is known.
    pub most_bytes: Option<u64>,
    /// Bytes of them that steps take for themselves once they are lowered for the executor.
    pub program_bytes: u64,
}

/// A model's buffers, planned and not allocated.
pub(in crate::engine) struct Plan {
    pub arena: Arena,
    pub uploads: Uploads,
    pub network: Network,
    /// Tokens in one step at most.
    pub n_chunk: u32,
    /// Bytes that steps take for themselves, beside the arena.
    program_bytes: u64,
}

/// Contexts that a smaller one is looked for among are multiples of this.
const CONTEXT_STEP: u32 = 64;

/// Formats that are offered for a smaller file, best first.
const SMALLER: [Format; 6] = [Format::Q8_0, Format::Q6_K, Format::Q5_K, Format::Q4_K, Format::Q3_K, Format::Q2_K];

impl Plan {
    /// Plans everything; nothing is read and nothing allocated.
    pub(in crate::engine) fn new(model: &Model, choices: Choices, room: Room) -> Self {
        let mut arena = Arena::default();
        let mut uploads = Uploads::new(room.shard_bytes);
        let (network, n_chunk) = Network::plan(&mut arena, &mut uploads, model, choices, room.binding_bytes);
        Self { arena, uploads, network, n_chunk, program_bytes: room.program_bytes }
    }

    /// What the buffers take, by purpose.
    pub(in crate::engine) fn memory(&self) -> Memory {
        let bytes = |purpose| self.arena.bytes(purpose);
        let scratch = bytes(Purpose::Scratch) + self.program_bytes;
        Memory { weights: bytes(Purpose::Weights), cache: bytes(Purpose::Cache), scratch }
    }

    /// The first thing that there is no room for: what, how much of it, and how much there may be.
    fn obstacle(&self, room: Room) -> Option<[String; 3]> {
        // Only state and scratch can be too large to bind, since weights are cut into shards.
        if let Some(plan) = self.arena.buffers.iter().find(|plan| plan.bytes > room.binding_bytes) {
            let most = format!("at most {}, the adapter's largest binding", shown(room.binding_bytes));
            return Some([format!("buffer {}", plan.label), shown(plan.bytes), most]);
        }
        let memory = self.memory();
        let most = room.most_bytes.filter(|most| memory.bytes() > *most)?;
        let found = format!(
            "{} of buffers: {} of weights, {} of cache, {} of scratch",
            shown(memory.bytes()),
            shown(memory.weights),
            shown(memory.cache),
            shown(memory.scratch)
        );
        Some(["the model".to_owned(), found, format!("at most {}, the memory that is free", shown(most))])
    }

    fn fits(&self, room: Room) -> bool {
        self.obstacle(room).is_none()
    }

    /// What the weights would take with every matrix of more bits in this format.
    fn weights_in(&self, format: Format) -> u64 {
        let planes = |format, rows, n_in| {
            (repack::quant_words(format, rows, n_in) + repack::scale_words(format, rows, n_in)) * 4
        };
        let saved: u64 = self
            .uploads
            .steps
            .iter()
            .filter_map(|step| match step {
                Upload::Planes { tensor, .. } if (tensor.n_in as usize).is_multiple_of(format.block_len()) => {
                    let (rows, n_in) = (u64::from(tensor.n_rows), u64::from(tensor.n_in));
                    Some(planes(tensor.format, rows, n_in).saturating_sub(planes(format, rows, n_in)))
                }
                _ => None,
            })
            .sum();
        self.memory().weights.saturating_sub(saved)
    }
}

/// The longest context that there is room for, no longer than that of `choices`; `None` if there is room for none.
pub(in crate::engine) fn longest_context(model: &Model, choices: Choices, room: Room) -> Option<u32> {
    let fits = |n_context| Plan::new(model, Choices { n_context, ..choices }, room).fits(room);
    if fits(choices.n_context) {
        return Some(choices.n_context);
    }
    // In steps: `fit` fit, `too_many` do not.
    let (mut fit, mut too_many) = (0, choices.n_context.div_ceil(CONTEXT_STEP));
    while too_many - fit > 1 {
        let middle = fit.midpoint(too_many);
        if fits(middle * CONTEXT_STEP) { fit = middle } else { too_many = middle }
    }
    (fit > 0).then_some(fit * CONTEXT_STEP)
}

/// Fails if the plan has no room, and tells what would have: a shorter context, a cache in f16, a smaller format.
pub(in crate::engine) fn check(plan: &Plan, model: &Model, choices: Choices, room: Room) -> Result<(), Error> {
    let Some([thing, found, expected]) = plan.obstacle(room) else { return Ok(()) };
    let mut ways = Vec::new();
    if let Some(n) = longest_context(model, choices, room) {
        ways.push(format!("a context of at most {n} tokens (-c {n})"));
    }
    let in_f16 = CacheTypes { in_blocks: choices.cache.in_blocks, ..CacheTypes::both(CacheType::F16) };
    if matches!(model, Model::Grouped(..) | Model::Mla(..) | Model::Delta(..))
        && choices.cache != in_f16
        && Plan::new(model, Choices { cache: in_f16, ..choices }, room).fits(room)
    {
        ways.push("a cache in f16 (-ctk f16 -ctv f16)".to_owned());
    }
    if let Some(most) = room.most_bytes {
        let beside = plan.memory().bytes() - plan.memory().weights;
        let sizes = SMALLER.map(|format| (format, plan.weights_in(format)));
        let smaller = sizes.into_iter().find(|(_, weights)| weights + beside <= most);
        ways.extend(
            smaller.map(|(format, bytes)| format!("a file of the model in {} ({})", format.name(), shown(bytes))),
        );
    }
    ways.push("a smaller model (of a synthetic one, fewer layers)".to_owned());
    ways.push("another adapter".to_owned());
    Err(Error::adapter(thing, found).expected(expected).advice(format!("Choose {}", ways.join(", or "))))
}

/// Bytes as a person reads them.
fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Synthetic, SyntheticName};

    const GIB: u64 = 1 << 30;

    fn flash() -> Model {
        let name = SyntheticName::parse("synthetic:deepseek-v4-flash:layers=0..4:format=q8_0").expect("a name");
        Synthetic::of(&name).expect("layers").expect("a known model").model().expect("a model")
    }

    fn choices(n_context: u32) -> Choices {
        Choices { n_context, n_chunk: 256, cache: CacheTypes::default() }
    }

    #[test]
    fn the_longest_context_fits_and_a_longer_one_does_not() {
        let (model, wanted) = (flash(), choices(1 << 20));
        let roomy = Room { binding_bytes: 4 * GIB, shard_bytes: GIB, most_bytes: None, program_bytes: 0 };
        let bytes = |n_context| Plan::new(&model, choices(n_context), roomy).memory().bytes();
        let between = bytes(1 << 16).midpoint(bytes(1 << 18));
        for room in [
            Room { most_bytes: Some(between), ..roomy },
            Room { binding_bytes: 200 << 20, shard_bytes: 200 << 20, ..roomy },
        ] {
            let longest = longest_context(&model, wanted, room).expect("some context fits");
            assert!((1..1 << 20).contains(&longest), "{longest}");
            assert!(Plan::new(&model, choices(longest), room).fits(room));
            assert!(!Plan::new(&model, choices(longest + CONTEXT_STEP), room).fits(room));
            let refused = check(&Plan::new(&model, wanted, room), &model, wanted, room).expect_err("no room");
            assert!(refused.to_string().contains(&format!("-c {longest}")), "{refused}");
        }
        // What steps take for themselves is room that is gone.
        let room = Room { most_bytes: Some(between), ..roomy };
        let less = Room { program_bytes: between / 50, ..room };
        assert!(longest_context(&model, wanted, less) < longest_context(&model, wanted, room));
        let none = Room { most_bytes: Some(1 << 20), ..roomy };
        assert_eq!(longest_context(&model, wanted, none), None);
    }

    #[test]
    fn a_smaller_format_is_named_with_what_it_takes() {
        let (model, wanted) = (flash(), choices(4096));
        let roomy = Room { binding_bytes: 4 * GIB, shard_bytes: GIB, most_bytes: None, program_bytes: 0 };
        let plan = Plan::new(&model, wanted, roomy);
        let (eight, four) = (plan.memory().weights, plan.weights_in(Format::Q4_K));
        // 4.5 bits an element for 8.5, but for what has no whole blocks.
        assert!((eight / 100 * 50..eight / 100 * 60).contains(&four), "{four} of {eight}");
        assert!((eight / 100 * 99..=eight).contains(&plan.weights_in(Format::Q8_0)));
        let room = Room { most_bytes: Some(four + plan.memory().cache + plan.memory().scratch + (1 << 20)), ..roomy };
        let refused = check(&plan, &model, wanted, room).expect_err("no room").to_string();
        assert!(refused.contains("in Q4_K"), "{refused}");
    }
}
