// Keys and values of each head, as attention reads them, for every position up to the step's last token:
//   key[h, p] = what was made of the latent for the head | the part that turns, which all heads share
//   value[h, p] = what was made of the latent for the head
// An invocation takes a vector of 4 of a key or a value. All in f32 until they are stored.
struct Params {
    n_heads: u32,
    nope_quads: u32,    // vectors of 4 of a key that do not turn
    turned_quads: u32,  // vectors of 4 that do
    value_quads: u32,   // vectors of 4 of a value
    row_quads: u32,     // vectors of 4 from row to row of the cache, the last turned_quads of which turn
    n_positions: u32,   // positions that there is room for
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> latents: array<KeyQuad>;         // [positions, row_quads]
@group(0) @binding(3) var<storage, read> made: array<vec4<f32>>;          // [positions, [n_heads, nope] | [n_heads, value]]
@group(0) @binding(4) var<storage, read_write> keys: array<KeyQuad>;      // [n_heads], see lib/key_order.wgsl
@group(0) @binding(5) var<storage, read_write> values: array<ValueQuad>;  // [n_heads, n_positions, nope + turned]

@compute @workgroup_size(WORKGROUP)
fn mla_expand(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let key_quads = params.nope_quads + params.turned_quads;
    let n_units = key_quads + params.value_quads;
    let unit = thread % n_units;
    let head = thread / n_units % params.n_heads;
    let position = thread / n_units / params.n_heads;
    if position >= min(step.position + step.n_tokens, params.n_positions) {
        return;
    }
    let made_at = position * params.n_heads * (params.nope_quads + params.value_quads);
    let head_at = head * params.n_positions * key_quads;
    if unit >= key_quads {
        let i = unit - key_quads;
        let v = made[made_at + params.n_heads * params.nope_quads + head * params.value_quads + i];
        values[head_at + position * key_quads + i] = ValueQuad(pack_value(v.xy), pack_value(v.zw));
        return;
    }
    let key_at = head_at + key_quad(position, unit, key_quads);
    if unit < params.nope_quads {
        let v = made[made_at + head * params.nope_quads + unit];
        keys[key_at] = KeyQuad(pack_key(v.xy), pack_key(v.zw));
    } else {
        // As it lies in the cache, whose type is the same.
        keys[key_at] = latents[(position + 1u) * params.row_quads - (key_quads - unit)];
    }
}
