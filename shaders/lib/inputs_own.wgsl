// How an invocation gets 32 activations, from vector `first` of the row at `at` on (see input_plain.wgsl): it reads them.
fn read_inputs(at: u32, first: u32, local: u32) -> Inputs {
    return inputs(
        input_quad(at, first), input_quad(at, first + 1u), input_quad(at, first + 2u), input_quad(at, first + 3u),
        input_quad(at, first + 4u), input_quad(at, first + 5u), input_quad(at, first + 6u), input_quad(at, first + 7u),
    );
}
