//! `fill`: random words for weights that no file has, written where they are needed.

use crate::format::random::hash;
use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

/// Words of `bits`.
pub const MOST_BITS: usize = 16;
/// Words that an invocation writes.
const WORDS_PER_THREAD: u64 = 16;

crate::params! {
    /// Parameters of `fill`; the WGSL says what each is.
    pub struct Params {
        /// Where the first row begins.
        pub begin: u32,
        /// Words to write, whole rows.
        pub n_words: u32,
        /// Number of the first word in its tensor.
        pub first: u32,
        /// The tensor's seed.
        pub seed: u32,
        /// Words of a row.
        pub row_words: u32,
        /// Of which these are filled.
        pub used_words: u32,
        /// The bits that are random.
        pub mask: u32,
        /// Ids are below this.
        pub n_experts: u32,
        /// Words of `bits` in use.
        pub period: u32,
        /// The bits that are set.
        pub bits: [u32; MOST_BITS],
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "fill",
    variants: &[Variant::only("fill", shader_text!("../../shaders/kernels/fill.wgsl"), &[], lower::THREADS)],
    bindings: &[("words", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What the rows are filled with.
#[derive(Clone, Copy, Debug)]
pub enum Words<'a> {
    /// Random where `mask` is set, and the words of `bits` by turns, [`MOST_BITS`] at most; in each row `used_words`,
    /// and zeros after them.
    Masked {
        /// The bits that are random.
        mask: u32,
        /// The bits that are set, by turns.
        bits: &'a [u32],
        /// Words of a row that are filled.
        used_words: u32,
    },
    /// Ids below this, all different within a row that is no longer than there are ids.
    Ids(u32),
}

/// Rows to fill.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// The buffer, from its beginning.
    pub to: Slice,
    /// The word where the first row begins.
    pub begin: u32,
    /// Rows.
    pub n_rows: u32,
    /// Words of a row, 1 at least.
    pub row_words: u32,
    /// Number of the first word in its tensor, modulo 2^32: the same tensor gets the same words however it is cut.
    pub first: u32,
    /// The tensor's seed.
    pub seed: u32,
    /// With what.
    pub words: Words<'a>,
}

/// Appends the filling of some rows.
///
/// # Panics
/// When the rows lie outside the slice, or there are too many words of bits, or none: mistakes in this program.
pub fn record_fill(recording: &mut Recording, flow: &Flow<'_>) {
    let n_words = u64::from(flow.n_rows) * u64::from(flow.row_words);
    assert!(flow.row_words > 0 && (u64::from(flow.begin) + n_words) * 4 <= flow.to.bytes, "fill: rows past the slice");
    let mut params = Params {
        begin: flow.begin,
        n_words: n_words as u32,
        first: flow.first,
        seed: flow.seed,
        row_words: flow.row_words,
        period: 1,
        ..Params::default()
    };
    let kind = match flow.words {
        Words::Masked { mask, bits, used_words } => {
            assert!((1..=MOST_BITS).contains(&bits.len()), "fill: {} words of bits", bits.len());
            params.bits[..bits.len()].copy_from_slice(bits);
            params = Params { mask, used_words, period: bits.len() as u32, ..params };
            u32::from(bits.len() > 1 || used_words < flow.row_words)
        }
        Words::Ids(n) => {
            params.n_experts = n.max(1);
            2
        }
    };
    let facts = Spec::default().constant("KIND", kind);
    let cost = Cost { bytes: n_words * 4, ops: 0 };
    recording.push("fill", &OP, facts, n_words.div_ceil(WORDS_PER_THREAD), &params, &[flow.to], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let kind = call.constant("KIND");
    let [words] = call.outputs::<u32, 1>();
    for i in 0..p.n_words {
        let column = i % p.row_words;
        words[(p.begin + i) as usize] = if kind == 2 {
            let apart = p.n_experts / p.row_words;
            (hash(p.first.wrapping_add(i - column), p.seed) % p.n_experts + column * apart) % p.n_experts
        } else if column < p.used_words {
            hash(p.first.wrapping_add(i), p.seed) & p.mask | p.bits[(column % p.period) as usize]
        } else {
            0
        };
    }
}

fn cases() -> Vec<Case> {
    let masked = |mask, bits, used_words| Words::Masked { mask, bits, used_words };
    vec![
        case("rows with padding", 3, 40, 7, masked(0x807f_ffff, &[0x3f00_0000], 36)),
        case("any bits, numbered across 2^32", 5, 64, u32::MAX - 100, masked(u32::MAX, &[0], 64)),
        case("scales by turns", 9, 5, 0, masked(0, &[1, 2, 3, 4, 5], 5)),
        case("ids", 11, 6, 60, Words::Ids(256)),
        case("more rows than a workgroup's tile", 700, 4, 0, masked(0xffff, &[1 << 16, 1 << 17], 3)),
    ]
}

/// Rows from word 2 of a buffer on, with words before and after them that must stay as they are.
fn case(name: &str, n_rows: u32, row_words: u32, first: u32, words: Words<'_>) -> Case {
    let mut case = CaseBuilder::new(name);
    let to = case.output("words", (n_rows * row_words + 5) as usize, 0.0);
    let flow = Flow { to, begin: 2, n_rows, row_words, first, seed: 0x5eed, words };
    record_fill(&mut case.recording, &flow);
    case.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Executor;

    /// The words that the reference writes, from word 2 on.
    fn filled(case: &Case, n: usize) -> Vec<u32> {
        pollster::block_on(async {
            let mut executor = Executor::Cpu(Box::default());
            executor.allocate(&case.arena).await.expect("buffers");
            let prepared = executor.prepare(&case.recording).await.expect("a recording");
            let ticket = executor.submit(prepared, 1, case.arena.whole(case.outputs[0].0)).expect("a ticket");
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&executor.finish(ticket).await.expect("words"));
            words[2..2 + n].to_vec()
        })
    }

    #[test]
    fn ids_are_valid_and_differ_within_a_row() {
        for n_experts in [6, 7, 256] {
            let words = filled(&case("ids", 50, 6, 0, Words::Ids(n_experts)), 300);
            for row in words.chunks(6) {
                let mut sorted = row.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert!(sorted.len() == 6 && sorted[5] < n_experts, "{row:?}");
            }
            assert!(words.chunks(6).any(|row| row != &words[..6]));
        }
    }

    #[test]
    fn a_tensor_cut_in_two_has_the_same_words() {
        let words = Words::Masked { mask: u32::MAX, bits: &[0], used_words: 30 };
        let whole = filled(&case("whole", 10, 32, 96, words), 320);
        let rest = filled(&case("rest", 6, 32, 96 + 4 * 32, words), 192);
        assert_eq!(whole[128..], rest);
    }
}
