// The real language model server beside the project: llama.cpp with a tiny model, on loopback.
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './child.mjs';
import { eventually } from './condition.mjs';
import { ROOT } from './server.mjs';

const START = join(ROOT, '../shared/tools/real-llm/start.sh');
export const present = existsSync(START);
export const folder = process.env.REAL_LLM_DIR ?? join(tmpdir(), 'real-llm');

/** A port that is free now, as is the one after it: the server cannot choose one itself. */
async function freePort() {
  for (;;) {
    const hold = (port) => new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject).listen(port, '127.0.0.1', () => resolve(server));
    });
    const first = await hold(0);
    const { port } = first.address();
    const second = await hold(port + 1).catch(() => null);
    await Promise.all([first, second].map((server) => server && new Promise((resolve) => server.close(resolve))));
    if (second) return port;
  }
}

export class Llm {
  static async start(env = {}) {
    const llm = new Llm();
    llm.port = await freePort();
    llm.child = start('bash', [START], { env: { ...process.env, REAL_LLM_DIR: folder, PORT: String(llm.port), ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    llm.child.stdout.on('data', (bytes) => {
      said += bytes;
    });
    await eventually(() => {
      if (llm.child.exitCode !== null) throw new Error(`real-llm ended with ${llm.child.exitCode}`);
      return said.includes('READY ');
    }, 'real-llm to be ready (its first start installs for minutes)', 600_000);
    [, llm.base] = /READY (\S+)/.exec(said);
    llm.plain = `http://127.0.0.1:${env.TLS ? llm.port + 1 : llm.port}`; // past the TLS front
    await eventually(() => fetch(`${llm.plain}/health`).then((answer) => answer.ok, () => false), 'real-llm to answer');
    return llm;
  }
  /** What the server itself answers: the text, the finish reason and the usage, put together from its own stream. */
  async direct(body, key = 'none') {
    const response = await fetch(`${this.plain}/v1/chat/completions`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'tiny', stream: true, stream_options: { include_usage: true }, ...body }),
    });
    if (!response.ok) throw new Error(`real-llm: ${response.status} ${await response.text()}`);
    const whole = { text: '', finish_reason: null, usage: null };
    for (const line of (await response.text()).split('\n')) {
      if (!line.startsWith('data: {')) continue;
      const { choices, usage } = JSON.parse(line.slice(6));
      whole.text += choices[0]?.delta.content ?? '';
      whole.finish_reason = choices[0]?.finish_reason ?? whole.finish_reason;
      if (usage) whole.usage = { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens };
    }
    return whole;
  }
  /** One of the server's own gauges. */
  async gauge(name) {
    const text = await (await fetch(`${this.plain}/metrics`)).text();
    return Number(new RegExp(`^llamacpp:${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }
  async stop() {
    this.child.kill('SIGTERM');
    await this.child.ended;
  }
}
