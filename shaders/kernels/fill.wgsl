// Rows of random words, the same on every adapter. Word number i, word c of the row that begins at word r, is
//   KIND 0: (hash(first + i) & mask) | bits[0];
//   KIND 1: (hash(first + i) & mask) | bits[c mod period] where c < used_words, and 0 where the row is filled up;
//   KIND 2: (hash(first + r) + c · (n_experts / row_words)) mod n_experts: ids that differ within a row.
// An invocation writes WORDS_PER_THREAD words, a workgroup apart, so that neighbours write side by side. Whole numbers
// only, which wrap alike everywhere. The kinds are apart because a remainder costs several times the rest.
struct Params {
    begin: u32,           // where in `words` the first row begins
    n_words: u32,         // words to write, whole rows
    first: u32,           // number of the first word in its tensor
    seed: u32,            // the tensor's
    row_words: u32,       // words of a row
    used_words: u32,      // of which these are filled
    mask: u32,            // the bits that are random
    n_experts: u32,       // ids are below this
    period: u32,          // words of `bits` in use
    bits: array<u32, 16>, // the bits that are set
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

const WORDS_PER_THREAD: u32 = 16u;

fn hash(index: u32) -> u32 {
    var word = index * 0x9e3779b9u + params.seed;
    word = (word ^ (word >> 16u)) * 0x7feb352du;
    word = (word ^ (word >> 15u)) * 0x846ca68bu;
    return word ^ (word >> 16u);
}

fn word(i: u32) -> u32 {
    if KIND == 0u {
        return (hash(params.first + i) & params.mask) | params.bits[0];
    }
    let column = i % params.row_words;
    if KIND == 1u {
        let word = (hash(params.first + i) & params.mask) | params.bits[column % params.period];
        return select(0u, word, column < params.used_words);
    }
    let apart = params.n_experts / params.row_words;
    return (hash(params.first + i - column) % params.n_experts + column * apart) % params.n_experts;
}

@compute @workgroup_size(WORKGROUP)
fn fill(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP * WORDS_PER_THREAD;
    for (var j = 0u; j < WORDS_PER_THREAD; j += 1u) {
        let i = tile + j * WORKGROUP + local;
        if i >= params.n_words {
            return;
        }
        words[params.begin + i] = word(i);
    }
}
