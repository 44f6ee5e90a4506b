// What changes from token to token; see gpu::kernel::Step.
struct Step {
    position: u32,
    n_tokens: u32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    repeat_window: u32,
    seed: u32,
    n_stops: u32,
    presence_penalty: f32,
    frequency_penalty: f32,
    stops_0: vec4<u32>,
    stops_1: vec4<u32>,
}
