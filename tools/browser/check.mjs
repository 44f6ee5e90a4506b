// Runs named checks, says how each went, and counts. Others may run beside them, so their limits are wide.
let n_passed = 0;
/** What was printed of each failure. */
const failures = [];

/** Runs `body`; an exception, or more than `timeout_ms`, is a failure. What it returns is printed as a remark. */
export async function check(name, body, { timeout_ms = 240_000 } = {}) {
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
    failures.push(`FAILED  ${name} (${seconds()})\n        ${String(error?.stack ?? error).replaceAll('\n', '\n        ')}`);
    console.log(failures.at(-1));
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the failures once more, where they are found, and the count; sets the exit status. */
export function finish() {
  if (failures.length > 0) console.log(`What failed:\n${failures.join('\n')}`);
  console.log(`${n_passed} passed, ${failures.length} failed`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}
