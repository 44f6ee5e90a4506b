// Slot contract of the experts' first products: which expert a slot has, and with what weight. Here `route` wrote both before.
@group(0) @binding(3) var<storage, read> experts: array<u32>; // [n_tokens, n_slots]
@group(0) @binding(4) var<storage, read> weights: array<f32>; // [n_tokens, n_slots]

// The expert of an entry (`token · n_slots + slot`), for all of a workgroup, which has that entry alone; `is_first` in the first
// workgroup of those that share it.
fn slot_expert(entry: u32, local: u32, is_first: bool) -> u32 {
    return experts[entry];
}

fn slot_weight(entry: u32) -> f32 {
    return weights[entry];
}
