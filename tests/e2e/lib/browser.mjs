// Debian's Chromium, headless, driven by playwright-core; pages from disk and from an origin of the test's own.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { ROOT } from './server.mjs';

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
export const executablePath = PLACES.find((path) => path && existsSync(path));

export const launch = () => chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

export const fileUrl = (name) => pathToFileURL(join(ROOT, 'examples', name)).href;

/** Serves `examples/` and the given pages from another origin. */
export async function site(pages = {}) {
  const http = createServer((request, response) => {
    const name = new URL(request.url, 'http://site').pathname.slice(1);
    const file = join(ROOT, 'examples', name);
    const page = pages[name] ?? (name.endsWith('.html') && existsSync(file) ? readFileSync(file) : undefined);
    response.writeHead(page === undefined ? 404 : 200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(page);
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${http.address().port}`;
  return {
    origin,
    stop: () => {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    },
  };
}
