// The lmserver binary under test, started on a free port with a configuration of the test's own.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './child.mjs';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** `$LMSERVER`, else the newer of the two builds. */
export function binary() {
  if (process.env.LMSERVER) return process.env.LMSERVER;
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
  const built = ['release', 'debug'].map((profile) => join(target, profile, 'lmserver')).filter(existsSync);
  if (built.length === 0) throw new Error('no lmserver binary: run `cargo build --release` first');
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

/** The variables of this process without those that steer lmserver or a proxy. */
function environment(extra) {
  const steering = /^(OPENAI_|LMSERVER_|PORT$|HOST$|CENTRIFUGO_|(https?|all|no)_proxy$)/i;
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !steering.test(name))), ...extra };
}

export class Server {
  /** Starts it and waits until it listens. `config` is TOML; without it the server runs on its defaults. */
  static async start({ config, args = [], env = {} } = {}) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), 'lmserver-e2e-'));
    server.configFile = join(server.folder, 'lmserver.toml');
    if (config !== undefined) server.configure(config);
    server.log = '';
    const all = ['--listen', '127.0.0.1:0', ...(config === undefined ? [] : ['--config', server.configFile]), ...args];
    server.child = start(binary(), all, { cwd: server.folder, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    server.exited = server.child.ended;
    server.port = await new Promise((resolve, reject) => {
      const read = (bytes) => {
        server.log += bytes;
        const found = /listen[^\n]*127\.0\.0\.1:([1-9]\d*)/i.exec(server.log);
        if (found) resolve(Number(found[1]));
      };
      server.child.stdout.on('data', read);
      server.child.stderr.on('data', read);
      server.child.once('error', reject);
      server.child.once('exit', (code) => reject(new Error(`lmserver ended with ${code}:\n${server.log}`)));
    });
    server.url = `http://127.0.0.1:${server.port}`;
    return server;
  }

  configure(config) {
    writeFileSync(this.configFile, config);
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Resolves once the log says `pattern`. */
  async logged(pattern, from = 0) {
    while (!pattern.test(this.log.slice(from))) {
      if (this.child.exitCode !== null) throw new Error(`lmserver ended before it logged ${pattern}:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async stop() {
    this.child.kill('SIGKILL');
    await this.exited;
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Posts a chat; returns its channel id (and the whole answer's JSON as `reply`). */
  async chat(body, headers = {}) {
    const response = await fetch(`${this.url}/api/chat`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify(typeof body === 'string' ? { message: body } : body),
    });
    const reply = await response.json();
    if (response.status !== 200) throw Object.assign(new Error(`POST /api/chat: ${response.status}`), { response, reply });
    return reply.channel_id;
  }

  async state(channel) {
    const response = await fetch(`${this.url}/api/chat/${channel}`);
    return response.json();
  }
}

/** The configuration of a server whose default model is an OpenAI-compatible server at `base`. */
export function openai(base, { key = 'test', provider = '', model = 'tiny', rest = '' } = {}) {
  return `[provider.scripted]
kind = "openai"
base_url = "${base}"
api_key = "${key}"
model = "${model}"
${provider}
${rest}
`;
}
