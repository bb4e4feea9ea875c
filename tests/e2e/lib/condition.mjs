// Waiting for what another process does, and saying loudly what was not tested.
import * as runner from 'node:test';

/** A test that hangs fails by itself. */
export const test = (name, body) => runner.test(name, { timeout: 45_000 }, body);

/** Polls until `condition()` is truthy; returns its value. */
export async function eventually(condition, what, within = 15000) {
  const end = Date.now() + within;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The text to give to `skip:`, printed so that nobody overlooks it; false where the test can run. */
export function skipUnless(present, what) {
  if (present) return false;
  console.error(`SKIPPED: ${what}`);
  return what;
}
