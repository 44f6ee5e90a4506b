// Output contract of `experts_out` (see output_plain.wgsl): the sum over a token's experts joins the residual stream.
@group(0) @binding(7) var<storage, read> stream: array<f32>; // as outputs

fn joined(at: u32, sum: f32) -> f32 {
    return stream[at] + sum;
}
