//! A prediction as lines for a terminal, with its arithmetic.

use super::OUTSIDE;
use crate::measure::panel::{bytes, figures, millis};
use crate::measure::report::{Basis, MemoryPrediction, Prediction, StepPrediction};

/// All of it.
#[must_use]
pub fn text(prediction: &Prediction) -> String {
    let Prediction { n_layers, n_measured_layers, .. } = *prediction;
    let mut lines = vec![format!(
        "the whole model, from {n_measured_layers} of its {n_layers} layers: {} parameters, {} of them in a token",
        giga(prediction.n_params),
        giga(prediction.n_active_params)
    )];
    lines.extend(prediction.steps.iter().map(step));
    lines.extend(prediction.memory.iter().map(|memory| memory_line(prediction, memory)));
    lines.push(match prediction.free_bytes {
        Some(free) => format!("free memory: {}", bytes(free)),
        None => "WebGPU does not say how much memory the adapter has: compare with its data sheet".to_owned(),
    });
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn step(step: &StepPrediction) -> String {
    let what = if step.n_tokens == 1 { "a token".to_owned() } else { format!("{} tokens of a prompt", step.n_tokens) };
    let part = |part: &crate::measure::report::PartPrediction| {
        if part.kind == OUTSIDE {
            return format!("{} outside", millis(part.ms));
        }
        let unmeasured = if part.n_measured == 0 { ", not measured" } else { "" };
        format!("{} × {} ({}{unmeasured})", part.n, millis(part.ms), part.kind)
    };
    let sum: Vec<String> = step.parts.iter().map(part).collect();
    let basis = match step.basis {
        Basis::Stages => "times of stages",
        Basis::Work => "the time of a step by its work",
    };
    let [likely, low, high] = step.tokens_per_s().map(figures);
    format!(
        "{what} @ d{}: {} = {}: {likely} tokens/s ({low} to {high}); {} and {} operations; from {basis} @ d{}",
        step.depth,
        sum.join(" + "),
        millis(step.ms),
        bytes(step.bytes),
        giga(step.ops),
        step.measured_depth
    )
}

fn memory_line(prediction: &Prediction, memory: &MemoryPrediction) -> String {
    let fits = match prediction.free_bytes {
        _ if memory.largest_buffer > prediction.binding_bytes => format!(
            "does not fit: its largest buffer has {}, the adapter binds {}",
            bytes(memory.largest_buffer),
            bytes(prediction.binding_bytes)
        ),
        Some(free) if memory.total() > free => "does not fit".to_owned(),
        Some(_) => "fits".to_owned(),
        None => "every buffer can be bound".to_owned(),
    };
    format!(
        "memory for {} tokens: weights {} + window {} + entries {} + index keys {} + other state {} + values {} = {}: {fits}",
        memory.n_context,
        bytes(memory.weights),
        bytes(memory.window),
        bytes(memory.entries),
        bytes(memory.index_keys),
        bytes(memory.other_state),
        bytes(memory.scratch),
        bytes(memory.total())
    )
}

fn giga(n: u64) -> String {
    format!("{} G", figures(n as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::PartPrediction;

    #[test]
    fn the_arithmetic_is_shown() {
        let part = |kind: &str, n, n_measured, ms| PartPrediction {
            kind: kind.into(),
            n,
            n_measured,
            ms,
            ..PartPrediction::default()
        };
        let parts = vec![part(OUTSIDE, 1, 1, 10.0), part("ratio 0", 2, 0, 5.0), part("ratio 4", 20, 1, 4.0)];
        let step = StepPrediction {
            n_tokens: 1,
            depth: 4095,
            measured_depth: 20,
            parts,
            bytes: 3 << 30,
            ops: 2_000_000_000,
            ms: 100.0,
            low_ms: 80.0,
            high_ms: 125.0,
            ..StepPrediction::default()
        };
        let memory = MemoryPrediction {
            n_context: 4096,
            weights: 10 << 30,
            largest_buffer: 1 << 20,
            ..MemoryPrediction::default()
        };
        let mut prediction = Prediction {
            binding_bytes: 1 << 20,
            free_bytes: Some(9 << 30),
            steps: vec![step],
            memory: vec![memory],
            ..Prediction::default()
        };
        let shown = text(&prediction);
        assert!(
            shown.contains("10.0 ms outside + 2 × 5.00 ms (ratio 0, not measured) + 20 × 4.00 ms (ratio 4) = 100 ms"),
            "{shown}"
        );
        assert!(
            shown.contains("10.0 tokens/s (8.00 to 12.5)") && shown.contains("10.0 GiB: does not fit\n"),
            "{shown}"
        );
        prediction.free_bytes = None;
        assert!(
            text(&prediction).contains("every buffer can be bound")
                && text(&prediction).contains("WebGPU does not say")
        );
        prediction.binding_bytes = 1 << 19;
        assert!(text(&prediction).contains("the adapter binds 512 KiB"));
    }
}
