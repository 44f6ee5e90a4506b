// Runs named checks one after the other, says how each went, and counts.
let n_passed = 0;
let n_failed = 0;

/** Runs `body`; an exception, or more than `timeout_ms`, is a failure. What it returns is printed as a remark. */
export async function check(name, body, { timeout_ms = 120_000 } = {}) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${timeout_ms / 1000} s`)), timeout_ms);
  });
  try {
    const remark = await Promise.race([body(), late]);
    n_passed += 1;
    console.log(`ok      ${name} (${seconds()})${remark ? `: ${remark}` : ''}`);
  } catch (error) {
    n_failed += 1;
    console.log(`FAILED  ${name} (${seconds()})\n        ${String(error?.stack ?? error).replaceAll('\n', '\n        ')}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the count, and sets the exit status. */
export function finish() {
  console.log(`${n_passed} passed, ${n_failed} failed`);
  process.exitCode = n_failed ? 1 : 0;
}
