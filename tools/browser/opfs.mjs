// How fast this machine's Chromium writes and reads its own file system (OPFS), with nothing else on the page: what loading a
// model in the page can reach at best. A private window keeps its files in the memory of another process, and every call goes
// there and back; so both are measured.  node tools/browser/opfs.mjs [MB=256]
import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { start_chromium, start_chromium_with_profile } from './chromium.mjs';

const n_bytes = Number(process.argv[2] ?? 256) << 20;
const SIZES = [64 << 10, 256 << 10, 1 << 20, 8 << 20];

/** Runs in a worker: MB/s of writing and reading a file by calls of `size` bytes. */
async function measure({ n_bytes, size }) {
  const root = await navigator.storage.getDirectory();
  const handle = await (await root.getFileHandle('trial', { create: true })).createSyncAccessHandle();
  const bytes = new Uint8Array(size).map((_, index) => index * 31);
  const rate = (work) => {
    const begin = performance.now();
    for (let at = 0; at < n_bytes; at += size) work(at);
    return n_bytes / (performance.now() - begin) / 1e3;
  };
  handle.truncate(0);
  const write = rate((at) => handle.write(bytes, { at }));
  const read = rate((at) => handle.read(bytes, { at }));
  handle.close();
  await root.removeEntry('trial');
  postMessage({ write, read });
}

const server = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<title>OPFS</title>'));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

const one = (tab, size) =>
  tab.evaluate(
    ([text, request]) =>
      new Promise((resolve, reject) => {
        const script = `(${text})(${JSON.stringify(request)}).catch((error) => postMessage({ error: String(error) }))`;
        const worker = new Worker(URL.createObjectURL(new Blob([script])));
        worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data), worker.terminate());
      }),
    [measure.toString(), { n_bytes, size }],
  );

const profile = mkdtempSync(path.join(os.tmpdir(), 'headstart-opfs-'));
const usual = await start_chromium_with_profile(profile);
const private_window = await start_chromium();
try {
  const tabs = { 'usual window': await usual.newPage(), 'private window': await private_window.newPage() };
  for (const tab of Object.values(tabs)) await tab.goto(url);
  for (let round = 0; round < 3; round += 1) {
    for (const size of SIZES) {
      for (const [kind, tab] of Object.entries(tabs)) {
        const { write, read } = await one(tab, size);
        console.log(`${kind}, calls of ${size >> 10} KiB: write ${write.toFixed(0)} MB/s, read ${read.toFixed(0)} MB/s`);
      }
    }
  }
} finally {
  await usual.close();
  await private_window.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
