// Output contract of products (see output_plain.wgsl): the sum joins the residual stream.
@group(0) @binding(6) var<storage, read> stream: array<f32>; // as y

fn joined(at: u32, sum: f32) -> f32 {
    return stream[at] + sum;
}
