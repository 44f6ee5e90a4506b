// Model files that a page must survive, made from a good GGUF.

/** Cut in its directory, cut in its weights, with counts that ask for more memory than there is, and no GGUF at all. */
export function damaged_files(good) {
  const greedy_counts = Buffer.from(good.subarray(0, 24));
  greedy_counts.writeBigUInt64LE(1n << 40n, 8); // n_tensors
  greedy_counts.writeBigUInt64LE(1n << 40n, 16); // n_entries
  return [
    { name: 'cut-in-directory.gguf', bytes: good.subarray(0, 1000) },
    { name: 'cut-in-weights.gguf', bytes: good.subarray(0, Math.floor(good.length * 0.6)) },
    { name: 'huge-counts.gguf', bytes: greedy_counts },
    { name: 'not-a-model.gguf', bytes: Buffer.from('This is a letter, not a model.') },
  ];
}
