// The Python SDKs of OpenAI and Anthropic, unmodified but for their base URL: the scenarios of python/test_openai.py and
// python/test_anthropic.py.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from './lib/child.mjs';
import { eventually, skipUnless, test } from './lib/condition.mjs';
import { startModel } from './lib/model.mjs';
import { openai, Server } from './lib/server.mjs';

const KEY = 'key-of-the-tests';
const python = process.env.PYTHON ?? 'python3';
const present = spawnSync(python, ['-c', 'import openai, anthropic']).status === 0;
const skip = skipUnless(present, `the Python SDKs: ${python} lacks tests/e2e/python/requirements.txt`);

describe('the Python SDKs', { skip }, () => {
  let server, model;
  before(async () => {
    model = await startModel();
    server = await Server.start({ config: openai(model.base, { provider: 'retries = 0\nbreaker_failures = 0', rest: `[auth]\napi_keys = ["${KEY}"]` }) });
  });
  after(() => Promise.all([server?.stop(), model?.stop()]));

  for (const [name, left] of [['openai', 2], ['anthropic', 1]]) {
    test(`${name}: streams, whole answers, tools, structured output, errors, closing`, async () => {
      const script = fileURLToPath(new URL(`python/test_${name}.py`, import.meta.url));
      const env = { ...process.env, LMSERVER_URL: server.url, LMSERVER_TEST_KEY: KEY, PYTHONDONTWRITEBYTECODE: '1' };
      const before = model.closed;
      const run = start(python, [script], { env, stdio: ['ignore', 'inherit', 'pipe'] });
      let said = '';
      run.stderr.on('data', (bytes) => {
        said += bytes;
      });
      const { code } = await run.ended;
      assert.equal(code, 0, said);
      // What a client left unfinished, lmserver has left as well.
      await eventually(() => model.closed - before === left, `${left} ended connections, not ${model.closed - before}`, 2000);
    });
  }
});
