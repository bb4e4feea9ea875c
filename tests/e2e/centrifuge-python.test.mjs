// Centrifugo's Python SDK, unmodified, in both encodings: the scenarios of python/test_centrifuge.py.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CONFIG, KEY, SECRET } from './lib/centrifuge.mjs';
import { start } from './lib/child.mjs';
import { skipUnless, test } from './lib/condition.mjs';
import { Server } from './lib/server.mjs';

const SCENARIOS = fileURLToPath(new URL('python/test_centrifuge.py', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
const present = spawnSync(python, ['-c', 'import centrifuge.client']).status === 0;

const NAMESPACES = `
[provider.echo]
kind = "echo"
delay = "1ms"

[namespace.room]
presence = true
join_leave = true
force_push_join_leave = true
history_size = 100
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_subscriber = true
allow_presence_for_subscriber = true
allow_history_for_subscriber = true

[namespace.bare]
allow_presence_for_client = true
allow_history_for_client = true

[namespace.closed]
history_size = 10
history_ttl = "5m"
force_recovery = true

[namespace.delta]
history_size = 100
history_ttl = "5m"
force_recovery = true
allowed_delta_types = ["fossil"]
delta_publish = true
allow_subscribe_for_client = true
`;

const skip = skipUnless(present, `the Python SDK: ${python} lacks tests/e2e/python/requirements.txt`);

describe('the Python SDK', { skip }, () => {
  test('connects, listens, recovers, publishes, is refused', async () => {
    const server = await Server.start({ config: CONFIG + NAMESPACES });
    const env = { ...process.env, LMSERVER_URL: server.url, LMSERVER_TEST_SECRET: SECRET, LMSERVER_TEST_KEY: KEY, PYTHONDONTWRITEBYTECODE: '1' };
    const run = start(python, [SCENARIOS], { env, stdio: ['ignore', 'inherit', 'pipe'] });
    let said = '';
    run.stderr.on('data', (bytes) => {
      said += bytes;
    });
    const { code } = await run.ended;
    await server.stop();
    assert.equal(code, 0, said);
  });
});
