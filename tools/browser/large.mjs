// A llama of 300 MB whose weights are all zero: the file is a header and a hole, and takes no room on most disks.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

const N_EMBD = 1024;
const N_HIDDEN = 4096;
const N_VOCAB = 32_000;
const N_LAYERS = 15;
const [U32, F32_VALUE, STRING] = [4, 6, 8];
const [F32, Q8_0] = [{ type: 0, bytes: (n) => n * 4 }, { type: 8, bytes: (n) => (n / 32) * 34 }];

const u32 = (n) => Buffer.from(new Uint32Array([n]).buffer);
const f32 = (x) => Buffer.from(new Float32Array([x]).buffer);
const u64 = (n) => Buffer.from(new BigUint64Array([BigInt(n)]).buffer);
const text = (string) => Buffer.concat([u64(Buffer.byteLength(string)), Buffer.from(string)]);

/** Writes it to `path`, and returns its length in bytes. */
export function write_large_model(path) {
  const entries = [
    ['general.architecture', STRING, text('llama')],
    ['tokenizer.ggml.model', STRING, text('no_vocab')],
    ['llama.attention.layer_norm_rms_epsilon', F32_VALUE, f32(1e-5)],
    ['llama.rope.freq_base', F32_VALUE, f32(10_000)],
    ...Object.entries({
      context_length: 256, embedding_length: N_EMBD, block_count: N_LAYERS, feed_forward_length: N_HIDDEN, vocab_size: N_VOCAB,
      'attention.head_count': 16, 'attention.head_count_kv': 16, 'rope.dimension_count': 64,
    }).map(([key, value]) => [`llama.${key}`, U32, u32(value)]),
  ];
  const layer = (index) => [
    ...['attn_norm', 'ffn_norm'].map((name) => [`blk.${index}.${name}.weight`, F32, [N_EMBD]]),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) => [`blk.${index}.${name}.weight`, Q8_0, [N_EMBD, N_EMBD]]),
    ...['ffn_gate', 'ffn_up'].map((name) => [`blk.${index}.${name}.weight`, Q8_0, [N_EMBD, N_HIDDEN]]),
    [`blk.${index}.ffn_down.weight`, Q8_0, [N_HIDDEN, N_EMBD]],
  ];
  const tensors = [
    ['token_embd.weight', Q8_0, [N_EMBD, N_VOCAB]],
    ['output_norm.weight', F32, [N_EMBD]],
    ...Array.from({ length: N_LAYERS }, (_, index) => layer(index)).flat(),
  ];
  const aligned = (n) => Math.ceil(n / 32) * 32;
  let offset = 0;
  const directory = tensors.map(([name, format, shape]) => {
    const begin = offset;
    offset += aligned(format.bytes(shape.reduce((a, b) => a * b)));
    return Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(format.type), u64(begin)]);
  });
  const metadata = entries.map(([key, type, value]) => Buffer.concat([text(key), u32(type), value]));
  const header = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(entries.length), ...metadata, ...directory]);
  const file = openSync(path, 'w');
  writeSync(file, header);
  ftruncateSync(file, aligned(header.length) + offset);
  closeSync(file);
  return aligned(header.length) + offset;
}
