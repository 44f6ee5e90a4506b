// A static file server on localhost for one folder, under any path, as a visitor's web host would serve it.
// By hand:  node tools/browser/serve.mjs [FOLDER=dist] [PATH=/]
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Serves `folder` under the path `under`, which starts and ends with a slash; everything else is 404.
 * `before(path)` may hold an answer back; `inject` is put at the end of every page's body;
 * `on_post(text)` receives what pages send; `alter(path, text)` may give a script another text.
 * Returns the page's URL and `close()`.
 */
export async function serve(folder, { under = '/', before = async () => {}, inject = '', on_post = () => {}, alter } = {}) {
  const root = path.resolve(folder);
  const answer = async (request, response) => {
    if (request.method === 'POST') {
      on_post(await text_of(request));
      return response.writeHead(204).end();
    }
    const wanted = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const file = path.join(root, wanted.slice(under.length - 1), wanted.endsWith('/') ? 'index.html' : '');
    const is_inside = wanted.startsWith(under) && file.startsWith(root + path.sep);
    if (!is_inside || !existsSync(file) || !statSync(file).isFile()) {
      return response.writeHead(404).end(`no ${wanted}`);
    }
    await before(wanted);
    const type = TYPES[path.extname(file)] ?? 'application/octet-stream';
    if (inject && type.startsWith('text/html')) {
      const html = readFileSync(file, 'utf8').replace('</body>', () => `${inject}</body>`);
      return response.writeHead(200, { 'content-type': type }).end(html);
    }
    const altered = type === TYPES['.js'] && alter?.(wanted, readFileSync(file, 'utf8'));
    if (altered) return response.writeHead(200, { 'content-type': type }).end(altered);
    response.writeHead(200, { 'content-type': type, 'content-length': statSync(file).size });
    createReadStream(file).pipe(response);
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error) => response.destroy(error));
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}${under}`, close };
}

async function text_of(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

if (process.argv[1] === import.meta.filename) {
  const [folder = 'dist', under = '/'] = process.argv.slice(2);
  console.log((await serve(folder, { under })).url);
}
