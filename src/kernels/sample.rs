//! `sample`: the next token, chosen on the GPU, and the step moved on to it.

use crate::gpu::lower::{self, Lowered, Way};
use crate::gpu::op::{MAX_STOPS, Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space::MOST_INVOCATIONS;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::sample_parts::{self, KEPT, PART, record_sample_parts};

crate::params! {
    /// Parameters of `sample`; the WGSL says what each is.
    pub struct Params {
        /// Logits.
        pub n_vocab: u32,
        /// Ids that `tokens` holds.
        pub n_positions: u32,
    }
}

/// Logits as a token is chosen by them.
pub(super) const LOGITS: &str = shader_text!("../../shaders/lib/logits.wgsl");
const OF_ALL: &str = shader_text!("../../shaders/lib/logits_all.wgsl");
const OF_LEFT: &str = shader_text!("../../shaders/lib/logits_left.wgsl");

/// The kernel. It alone writes the step.
pub static OP: Op = Op {
    name: "sample",
    variants: &[ALONE, TOURNAMENT],
    bindings: &[("step", Access::Write), ("logits", Access::Write), ("tokens", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// One workgroup goes over all logits: twice for a draw, eight times more for each of `top_k` and `top_p`.
const ALONE: Variant = Variant::only(
    "sample",
    shader_text!("../../shaders/kernels/sample.wgsl"),
    &[super::STEP, LOGITS, OF_ALL],
    Way { lower: by_all, ..lower::VECTOR },
);

/// From so many ids on parts are thought to pay: they take one more dispatch.
const MANY_IDS: u32 = 4 * PART;

/// The same in two rounds, first a workgroup for each [`PART`] logits (`sample_parts`). Of 151,936 logits the one that chooses goes over
/// 2,432, in one turn for each of a draw's 18, not 38. Where that does not hold all that the filters keep, such as in a draw without
/// filters, it goes over all, as many times.
const TOURNAMENT: Variant = Variant {
    name: "sample_tournament",
    entry: "sample",
    parts: &[super::STEP, LOGITS, OF_LEFT],
    also: &[("left", Access::Read), ("shares", Access::Read)],
    waits: true,
    allows: |stage| stage.params::<Params>().n_vocab > PART,
    pays: |stage| stage.params::<Params>().n_vocab >= MANY_IDS,
    way: Way { lower: by_parts, ..lower::VECTOR },
    ..ALONE
};

fn by_parts(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let bytes = sample_parts::bytes(stage.params::<Params>().n_vocab);
    let [left, shares] = [Slice::scratch(0, bytes[0]), Slice::scratch(1, bytes[1])];
    let mut helpers = Recording::default();
    let [step, logits, tokens] = stage.bindings[..] else { unreachable!("as many as it declares") };
    record_sample_parts(&mut helpers, [step, logits, tokens, left, shares], &stage.params());
    let chosen = by_all(stage, caps, config);
    Lowered {
        spec: chosen.spec.constant("PART", PART).constant("KEPT", KEPT),
        bindings: Some(vec![step, logits, tokens, left, shares]),
        scratch: bytes.to_vec(),
        before: helpers.stages,
        ..chosen
    }
}

/// As many invocations as a workgroup may have: one workgroup goes over the whole vocabulary.
fn by_all(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let vector_lanes = if caps.is_software { config.vector_lanes } else { MOST_INVOCATIONS };
    lower::long_vector(stage, caps, &Config { vector_lanes, ..*config }, turns(stage))
}

/// Appends the choice of the next token by the settings in `step`, from row 0 of `logits` (`[n_vocab]`, f32).
///
/// `tokens[position + n_tokens]` becomes the chosen id (unless the buffer ends before), `position` grows by `n_tokens`,
/// and `n_tokens` becomes 1, or 0 where the id is one of the stops. A step without tokens is left as it is. With
/// penalties the logits of recent tokens are left penalized.
pub fn record_sample(recording: &mut Recording, step: Slice, logits: Slice, tokens: Slice, n_vocab: u32) {
    let params = Params { n_vocab, n_positions: (tokens.bytes / 4) as u32 };
    let cost = Cost { bytes: u64::from(n_vocab) * 4, ops: u64::from(n_vocab) };
    recording.push("sample", &OP, Spec::default(), 1, &params, &[step, logits, tokens], cost);
}

/// Recent tokens that a penalty may look at: each is compared with all of them, by one invocation.
pub const MOST_RECENT: u32 = 128;

/// Turns of loops of one invocation alone: it goes over the logits, 16 in a turn, for the greatest, eight times for each of two
/// thresholds, for the sum between them and for the choice, and over the recent tokens; and, once for all of these, over what parts
/// leave, a 64th as many.
fn turns(stage: &Stage) -> u64 {
    20 * u64::from(stage.params::<Params>().n_vocab.div_ceil(16)) + u64::from(MOST_RECENT * MOST_RECENT)
}

/// What a logit that is no finite number counts as.
pub(super) const LEAST: f32 = -1e30;

/// The noise of an id at a position, from Gumbel's distribution: the greatest of `logit / temperature + noise` is a draw
/// from the softmax. What the kernel adds on the GPU, so that a text does not depend on where its tokens are chosen.
pub fn noise(seed: u32, position: u32, id: u32) -> f32 {
    gumbel(pcg(id.wrapping_add(stream(seed, position))))
}

/// A number in `[0, 1)` for a position, of which the noise of its ids tells nothing.
pub fn chance(seed: u32, position: u32) -> f32 {
    // The high 24 bits, which an f32 holds exactly.
    (pcg(pcg(stream(seed, position) ^ 0x9e37_79b9)) >> 8) as f32 / (1u32 << 24) as f32
}

fn stream(seed: u32, position: u32) -> u32 {
    pcg(position.wrapping_add(pcg(seed)))
}

fn pcg(v: u32) -> u32 {
    let state = v.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

fn gumbel(hash: u32) -> f32 {
    let u = ((hash as f32 + 0.5) * 2.328_306_4e-10).min(0.999_999_94);
    -(-(-u).ln_1p()).ln()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let mut outputs = call.outputs.iter_mut();
    let [step, logits, tokens] = std::array::from_fn(|_| outputs.next().expect("a bound output"));
    let step: &mut Step = &mut bytemuck::cast_slice_mut(&mut step[..size_of::<Step>() / 4])[0];
    if step.n_tokens == 0 {
        return;
    }
    let logits: &mut [f32] = &mut bytemuck::cast_slice_mut(logits)[..p.n_vocab as usize];
    let end = step.position.wrapping_add(step.n_tokens);
    penalize(logits, recent(tokens, step), step);
    let id = choose(logits, step, end);
    if let Some(token) = tokens.get_mut(end as usize) {
        *token = id;
    }
    step.position = end;
    let n_stops = step.stops.len().min(step.n_stops as usize);
    step.n_tokens = u32::from(!step.stops[..n_stops].contains(&id));
}

/// The tokens that penalties look at.
pub(super) fn recent<'a>(tokens: &'a [u32], step: &Step) -> &'a [u32] {
    let end = step.position.wrapping_add(step.n_tokens);
    let known = end.min(tokens.len() as u32);
    let first = end.saturating_sub(step.repeat_window).min(known);
    &tokens[first as usize..known as usize]
}

pub(super) fn penalize(logits: &mut [f32], recent: &[u32], settings: &Step) {
    let Step { repeat_penalty, presence_penalty: presence, frequency_penalty: frequency, .. } = *settings;
    let factor = if repeat_penalty > 0.0 { repeat_penalty } else { 1.0 };
    if factor == 1.0 && presence == 0.0 && frequency == 0.0 {
        return;
    }
    for (index, id) in recent.iter().enumerate() {
        let Some(logit) = logits.get_mut(*id as usize) else { continue };
        if !recent[..index].contains(id) {
            let count = recent.iter().filter(|other| *other == id).count() as f32;
            let scaled = if *logit > 0.0 { *logit / factor } else { *logit * factor };
            *logit = scaled - (count * frequency + presence);
        }
    }
}

/// A logit as it counts.
pub(super) fn finite(logit: f32) -> f32 {
    if logit.is_finite() { logit.max(LEAST) } else { LEAST }
}

/// The id that wins at a position by the settings.
fn choose(logits: &[f32], settings: &Step, position: u32) -> u32 {
    let values: Vec<f32> = logits.iter().copied().map(finite).collect();
    let draw = settings.temperature > 0.0;
    let greatest = values.iter().copied().fold(f32::MIN, f32::max);
    let least = if draw { threshold(&values, settings, greatest) } else { LEAST };
    let mut best = (f32::MIN, 0);
    for (id, value) in values.iter().enumerate().filter(|(_, value)| value.total_cmp(&least).is_ge()) {
        let noise = || noise(settings.seed, position, id as u32);
        let score = if draw { (value - greatest) / settings.temperature.max(1e-6) + noise() } else { *value };
        if score > best.0 {
            best = (score, id as u32);
        }
    }
    best.1
}

/// The least value that the filters keep.
fn threshold(values: &[f32], settings: &Step, greatest: f32) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut least = LEAST;
    let top_k = settings.top_k as usize;
    if top_k > 0 && top_k < sorted.len() {
        least = sorted[top_k - 1];
        sorted.retain(|value| value.total_cmp(&least).is_ge());
    }
    if settings.top_p < 1.0 {
        let weights = sorted.iter().map(|value| (value - greatest).exp());
        let goal = settings.top_p.max(1e-6) * weights.clone().sum::<f32>();
        let mut sum = 0.0;
        let passes = |weight: f32| {
            sum += weight;
            sum >= goal
        };
        least = weights.map(passes).position(|passed| passed).map_or(least, |index| sorted[index]);
    }
    if settings.min_p > 0.0 {
        least = least.max(greatest + settings.min_p.min(1.0).ln());
    }
    least
}

fn cases() -> Vec<Case> {
    let plain = Step {
        position: 3,
        n_tokens: 4,
        top_p: 1.0,
        repeat_penalty: 1.0,
        repeat_window: 4,
        ..bytemuck::Zeroable::zeroed()
    };
    // Hot, so that ids that a filter should have dropped would often win.
    let hot = Step { temperature: 5.0, ..plain };
    // With so many ids the greatest of them come several times in one lane.
    let mut cases = vec![case("greedy", 37, plain), case("greedy, ties", 151_936, plain)];
    for seed in 0..3 {
        let hot = Step { seed, ..hot };
        cases.push(case("penalty", 12, Step { repeat_penalty: 4.0, position: seed, ..plain }));
        cases.push(case("presence", 12, Step { presence_penalty: 3.0, position: seed, ..plain }));
        cases.push(case(
            "frequency",
            12,
            Step { frequency_penalty: 1.5, position: 3 + seed, repeat_window: 7, ..plain },
        ));
        cases.push(case("no filter", 1003, hot));
        cases.push(case("top_k", 1003, Step { top_k: 7, ..hot }));
        cases.push(case("top_p", 261, Step { top_p: 0.5, ..hot }));
        cases.push(case("min_p", 261, Step { min_p: 0.3, ..hot }));
        let all = Step { top_k: 40, top_p: 0.8, min_p: 0.1, repeat_penalty: 1.5, temperature: 0.8, ..hot };
        let all = Step { presence_penalty: 0.5, frequency_penalty: -0.25, ..all };
        cases.push(case("all", 261, all));
    }
    // As many ids as models have, which is more than llvmpipe lets one invocation go over (`Config::within_turns`).
    let filtered = Step { top_k: 40, top_p: 0.95, temperature: 0.7, ..plain };
    cases.push(case("many ids", 151_936, filtered));
    // What parts leave does not hold all that is kept: more than they leave, more that tie with the least of them, none left out; and
    // it does: by a threshold that is known beforehand, of one filter alone.
    for (what, settings) in [
        ("many kept", Step { top_k: 3000, ..hot }),
        ("many ties", Step { top_k: 500, ..hot }),
        ("all kept", hot),
        ("many likely", Step { top_p: 0.6, ..hot }),
        ("few likely", Step { top_p: 0.01, ..hot }),
        ("near the greatest", Step { min_p: 0.95, repeat_penalty: 3.0, ..hot }),
    ] {
        cases.push(case(what, 9_001, settings));
    }
    // About as many as one invocation goes over there.
    cases.push(case("some ids", 26_001, Step { repeat_penalty: 1.5, ..filtered }));
    cases.extend(stops(plain));
    cases
}

/// The same choice with its id among the stops: the first of them, the last, behind the last; and a step that has no
/// tokens left, which must stay as it is.
fn stops(plain: Step) -> Vec<Case> {
    let rest = |stops| Step { stops, ..plain };
    let all: [u32; MAX_STOPS] = std::array::from_fn(|index| index as u32);
    vec![
        case("every id a stop", 8, Step { n_stops: 8, ..rest(all) }),
        case("ids from 3 a stop", 7, Step { n_stops: 5, ..rest(all.map(|id| id + 3)) }),
        case("stops that are none", 7, Step { n_stops: 0, ..rest(all) }),
        case("no tokens", 9_001, Step { n_tokens: 0, temperature: 1.0, top_k: 3, ..plain }),
        case("no tokens", 37, Step { n_tokens: 0, temperature: 1.0, repeat_penalty: 2.0, top_k: 3, ..plain }),
    ]
}

/// Logits in tenths, so that some tie.
fn case(what: &str, n_vocab: usize, step: Step) -> Case {
    let mut case = CaseBuilder::new(format!("{what}, {n_vocab} ids, seed {}, at {}", step.seed, step.position));
    let logits: Vec<f32> = case.random_values(n_vocab).iter().map(|v| (v * 40.0).round() / 10.0).collect();
    let tokens: Vec<u32> = (0..9).map(|_| case.random_u32() % n_vocab.min(5) as u32).collect();
    let step = case.step_with(step);
    let logits = case.input("logits", &logits);
    let tokens = case.input("tokens", &tokens);
    case.also_compare(step, 0.0);
    case.also_compare(tokens, 0.0);
    record_sample(&mut case.recording, step, logits, tokens, n_vocab as u32);
    case.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Step {
        Step { temperature: 1.0, top_p: 1.0, repeat_penalty: 1.0, seed: 7, ..bytemuck::Zeroable::zeroed() }
    }

    #[test]
    fn on_a_gpu_as_many_choose_as_a_workgroup_may_have() {
        let case = case("greedy", 12, settings());
        let caps = Caps { is_software: false, ..Caps::default() };
        let lowered = by_all(&case.recording.stages[0], &caps, &Config::guess(&caps));
        assert_eq!((lowered.spec.value_of("LANES"), lowered.n_workgroups), (Some(256), 1));
    }

    fn shares(logits: &[f32], settings: &Step) -> Vec<f32> {
        let mut counts = vec![0.0; logits.len()];
        (0..20_000).for_each(|position| counts[choose(logits, settings, position) as usize] += 1.0 / 20_000.0);
        counts
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 0.012);
        assert!(near, "found {found:?}, expected {expected:?}");
    }

    #[test]
    fn draws_follow_the_softmax_at_the_temperature() {
        let logits = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
        assert_near(&shares(&logits, &settings()), &[0.5, 0.3, 0.15, 0.05]);
        let squares = [0.25f32, 0.09, 0.0225, 0.0025].map(|v| v / 0.365);
        assert_near(&shares(&logits, &Step { temperature: 0.5, ..settings() }), &squares);
    }

    #[test]
    fn filters_keep_what_they_should() {
        let logits = [0.05f32, 0.5, 0.15, 0.3].map(f32::ln);
        assert_near(&shares(&logits, &Step { top_k: 2, ..settings() }), &[0.0, 0.625, 0.0, 0.375]);
        assert_near(&shares(&logits, &Step { top_p: 0.7, ..settings() }), &[0.0, 0.625, 0.0, 0.375]);
        assert_near(&shares(&logits, &Step { min_p: 0.55, ..settings() }), &[0.0, 0.625, 0.0, 0.375]);
        // top_p counts the probability of what top_k has kept, untouched by the temperature.
        let both = Step { top_k: 3, top_p: 0.6, temperature: 9.0, ..settings() };
        let found = shares(&logits, &both);
        assert!(found[0] == 0.0 && found[2] == 0.0 && found[3] > 0.4, "{found:?}");
    }

    #[test]
    fn a_penalty_counts_an_id_once_and_pushes_both_signs_down() {
        let mut logits = [2.0, -2.0, 2.0];
        penalize(&mut logits, &[0, 1, 0, 77], &Step { repeat_penalty: 2.0, ..settings() });
        assert_eq!(logits, [1.0, -4.0, 2.0]);
        let counting = Step { presence_penalty: 0.5, frequency_penalty: 0.25, ..settings() };
        penalize(&mut logits, &[0, 1, 0, 77], &counting);
        assert_eq!(logits, [0.0, -4.75, 2.0]);
    }

    #[test]
    fn greedy_takes_the_lower_of_ties_and_never_what_is_no_number() {
        let greedy = Step { temperature: 0.0, ..settings() };
        assert_eq!(choose(&[1.0, f32::NAN, 3.0, 3.0, f32::INFINITY], &greedy, 0), 2);
        assert_eq!(choose(&[f32::NAN; 3], &greedy, 0), 0);
    }
}
