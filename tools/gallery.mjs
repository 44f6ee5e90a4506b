// Makes www/gallery.json, the page's gallery, of the reports in www/timings: one file to fetch in place of one for each
// report, and numbers of four digits, which make it half as large.  node tools/gallery.mjs
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const www = path.resolve(import.meta.dirname, '../www');
const timings = path.join(www, 'timings');
const rounded = (_, value) =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;

const reports = readdirSync(timings)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => {
    const report = JSON.parse(readFileSync(path.join(timings, name), 'utf8'));
    return `${JSON.stringify(name.slice(0, -'.json'.length))}:${JSON.stringify(report, rounded)}`;
  });
writeFileSync(path.join(www, 'gallery.json'), `{"reports":{\n${reports.join(',\n')}\n}}\n`);
