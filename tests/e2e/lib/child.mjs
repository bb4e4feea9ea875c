// Processes that a test starts end with it, also where it is cut off.
import { spawn } from 'node:child_process';

const running = new Set();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** `spawn`, with a promise `ended` of how the process ended: `{ code, signal }`. */
export function start(program, args, options) {
  const child = spawn(program, args, options);
  running.add(child);
  child.ended = new Promise((resolve) => child.once('exit', (code, signal) => {
    running.delete(child);
    resolve({ code, signal });
  }));
  return child;
}
