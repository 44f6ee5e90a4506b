// Finish contract: what becomes of a row that a group has written, beside that. Here nothing.
fn finish_row(row: u32, n_quads: u32, lane: u32, n_lanes: u32) {}
