// Headless Chromium by playwright-core, with WebGPU on SwiftShader, which needs no GPU and is the same everywhere.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

// Without these, Chromium asks for its maker's hosts at every start.
const QUIET = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic'];
// Chromium zeroes workgroup memory before every kernel, which is most of what SwiftShader compiles of a tile. No
// kernel reads there what it did not write; natively nothing is zeroed either.
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-dawn-features=disable_workgroup_init'];

/** Starts a browser; without `webgpu` it has the API and no adapter, as on a machine with a blocked driver. */
export function start_chromium({ webgpu = true } = {}) {
  return chromium.launch(options_of(webgpu));
}

/** Starts a browser that keeps what pages store in the folder `profile`, as a person's does; elsewhere windows are private. */
export function start_chromium_with_profile(profile) {
  return chromium.launchPersistentContext(profile, options_of(true));
}

/** What starts Chromium with WebGPU where nothing drives it: the program and its arguments. */
export function arguments_of_chromium(webgpu = true) {
  const found = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
  const executable = process.env.CHROMIUM ?? found;
  if (!executable) throw new Error('no Chromium found: install it, or name its path in CHROMIUM');
  return { executable, args: ['--no-sandbox', ...QUIET, ...(webgpu ? WEBGPU : [])] };
}

function options_of(webgpu) {
  const { executable: executablePath, args } = arguments_of_chromium(webgpu);
  return { executablePath, args };
}

/**
 * Opens `url` in a tab of its own, and collects in `problems` whatever the page or its workers complain of.
 * `before(tab)` may prepare the tab.
 */
export async function open_tab(browser, url, { before, ...options } = {}) {
  const tab = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  const problems = [];
  tab.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text()}`));
  tab.on('pageerror', (error) => problems.push(`uncaught: ${error}`));
  tab.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // The icon that a tab shows is given up where another page comes before it.
    const is_given_up = why === 'net::ERR_ABORTED' && request.url().endsWith('/favicon.svg');
    if (!is_given_up) problems.push(`request: ${request.url()}: ${why}`);
  });
  tab.on('response', (response) => response.status() >= 400 && problems.push(`${response.status()}: ${response.url()}`));
  await before?.(tab);
  await tab.goto(url, { waitUntil: 'commit' });
  return { tab, problems };
}
