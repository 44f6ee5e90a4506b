// A model hub on localhost, as far as the page asks one: commits, listings and files. How it gives a file out is the
// owner's name in the repository: `ranges/llama` behaves, `wrong-hash/llama` does not.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const EXPOSED = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'content-range, etag, link' };

/**
 * Serves `models`, from a name to the paths of its files. Manners: `ranges`; `no-ranges`; `hidden` (ranges whose headers no page
 * of another site may read); `redirect`; `wrong-length`; `wrong-hash`; `cut` (each answer ends early while `cut_after` is
 * set, then not); `missing` (404); `slow` (`bytes_per_s`); `no-cors`.
 * `named` is what its files are called, where not as on disk.
 * Returns the hub's URL, `requests` for files in order, `settings` to be changed, and `close()`.
 */
export async function serve_hub(models, { named } = {}) {
  const files = Object.fromEntries(Object.entries(models).map(([name, paths]) => [name, paths.map((path) => read(path, named))]));
  const requests = [];
  const settings = { cut_after: Infinity, bytes_per_s: 2e6 };
  const answer = async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const api = url.pathname.match(/^\/api\/models\/([^/]+)\/([^/]+)\/(revision|tree)\/([^/]+)$/);
    if (api) {
      const [, manner, name, what] = api;
      if (!files[name]) return response.writeHead(404, EXPOSED).end('no such repository');
      const entries = files[name].map((file) => entry(file, manner));
      return response.writeHead(200, EXPOSED).end(JSON.stringify(what === 'revision' ? { sha: COMMIT } : entries));
    }
    const [, manner, name, file_name] = url.pathname.match(/^\/([^/]+)\/([^/]+)\/(?:resolve\/[^/]+|cdn)\/([^/]+)$/) ?? [];
    const file = files[name]?.find((file) => file.name === file_name);
    if (!file || manner === 'missing') return response.writeHead(404, EXPOSED).end('no such file');
    if (manner === 'redirect' && !url.pathname.includes('/cdn/')) {
      const location = `http://localhost:${server.address().port}/redirect/${name}/cdn/${file_name}?signed=${requests.length}`;
      return response.writeHead(302, { ...EXPOSED, location }).end();
    }
    requests.push({ path: url.pathname, range: request.headers.range, headers: request.headers });
    await give(file, manner, request, response, settings);
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error) => response.destroy(error));
  });
  await new Promise((listening) => server.listen(0, listening));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, requests, settings, close };
}

function read(file, named) {
  const bytes = readFileSync(file);
  return { name: named ?? path.basename(file), bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function entry({ name, bytes, sha256 }, manner) {
  const size = manner === 'wrong-length' ? bytes.length + 1 : bytes.length;
  const oid = manner === 'wrong-hash' ? '0'.repeat(64) : sha256;
  return { type: 'file', oid: COMMIT, size, lfs: name.endsWith('.json') ? undefined : { oid, size }, path: name };
}

async function give(file, manner, request, response, settings) {
  const cors = { 'no-cors': {}, hidden: { 'access-control-allow-origin': '*' } }[manner] ?? EXPOSED;
  const [, first, last] = (manner !== 'no-ranges' && request.headers.range?.match(/^bytes=(\d+)-(\d+)$/)) || [];
  const total = file.bytes.length;
  const [begin, end] = first === undefined ? [0, total] : [Number(first), Math.min(Number(last) + 1, total)];
  const headers = { ...cors, etag: `"${file.sha256}"`, 'content-length': end - begin };
  if (first === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${begin}-${end - 1}/${total}` });
  if (request.method === 'HEAD') return response.end();
  const body = file.bytes.subarray(begin, end);
  if (manner === 'cut' && body.length > settings.cut_after) {
    response.write(body.subarray(0, settings.cut_after));
    // What the browser has not handed on by then would be lost with the connection.
    setTimeout(() => response.destroy(), 100);
    return;
  }
  if (manner === 'slow') {
    const step = 1 << 14;
    for (let at = 0; at < body.length && !response.destroyed; at += step) {
      response.write(body.subarray(at, at + step));
      await new Promise((resolve) => setTimeout(resolve, (step / settings.bytes_per_s) * 1000));
    }
    return response.end();
  }
  response.end(body);
}
