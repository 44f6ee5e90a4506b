// Headless Firefox with WebGPU (wgpu and naga, so a second implementation) on Mesa's software Vulkan.
// playwright-core drives only its own build of Firefox; so a script of ours rides in the page and posts what it finds.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { serve } from './serve.mjs';

const PREFERENCES = {
  'dom.webgpu.enabled': true,
  'dom.webgpu.workers.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'layers.gpu-process.enabled': true,
  'layers.gpu-process.force-enabled': true,
  'gfx.webrender.software': true,
  // What follows keeps it from asking for its maker's hosts, and from greeting.
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'datareporting.policy.dataSubmissionPolicyBypassNotification': true,
  'extensions.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,none',
  'toolkit.telemetry.enabled': false,
};

/**
 * Opens `folder`'s page in Firefox, runs the async function `visit` inside it, and resolves to what that returned.
 * `visit` must be self-contained: its text travels. `search` is put behind the page's address.
 */
export async function run_in_firefox(folder, visit, { timeout_ms = 180_000, search = '' } = {}) {
  const program = process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync);
  if (!program) throw new Error('no Firefox found: install it, or name its path in FIREFOX');
  let report;
  const reported = new Promise((resolve) => (report = resolve));
  const server = await serve(folder, { under: '/some/path/', inject: reporter(visit), on_post: report });
  const profile = mkdtempSync(path.join(os.tmpdir(), 'headstart-firefox-'));
  const preferences = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  writeFileSync(path.join(profile, 'user.js'), preferences.join(''));
  const firefox = spawn(program, ['--headless', '--no-remote', '--new-instance', '--profile', profile, server.url + search], {
    env: { ...process.env, HOME: profile, XDG_RUNTIME_DIR: profile, VK_DRIVER_FILES: lavapipe() },
    stdio: 'ignore',
    detached: true, // a process group of its own, so that its children end with it
  });
  try {
    const failed = new Promise((_, reject) => firefox.once('error', reject));
    const { value, error } = JSON.parse(await Promise.race([reported, failed, time_out(timeout_ms)]));
    if (error) throw new Error(`in Firefox: ${error}`);
    return value;
  } finally {
    server.close();
    await end(firefox);
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

function reporter(visit) {
  return `<script type="module">
    const post = (report) => fetch('./report', { method: 'POST', body: JSON.stringify(report) });
    (${visit})().then((value) => post({ value }), (error) => post({ error: String(error) }));
  </script>`;
}

function lavapipe() {
  const folder = '/usr/share/vulkan/icd.d';
  const file = existsSync(folder) && readdirSync(folder).find((name) => name.startsWith('lvp_icd'));
  return process.env.VK_DRIVER_FILES ?? (file ? path.join(folder, file) : '');
}

function time_out(ms) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`Firefox did not report within ${ms / 1000} s`)), ms).unref();
  });
}

async function end(child) {
  if (child.pid === undefined || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  process.kill(-child.pid, 'SIGTERM');
  const patience = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), 5000);
  await ended;
  clearTimeout(patience);
}
