// Keeping contract (see kept_in_x.wgsl): in registers, TURNS of them, so that what is read of the row is all on its way at once.
var<private> registers: array<vec4<f32>, TURNS>;

fn n_turns() -> u32 {
    return TURNS;
}

fn keep(at: u32, turn: u32, value: vec4<f32>) {
    registers[turn] = value;
}

fn kept(at: u32, turn: u32) -> vec4<f32> {
    return registers[turn];
}
