// node view.mjs REQUEST.json: load a model in a headless Chromium and take pictures; prints what it found as JSON.
// REQUEST: { model: path, chromium: path, page: viewer.html or talker.html, files: { name: path },
//            shots: [{ file, ...see shot() of the page }] }
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const request = JSON.parse(readFileSync(process.argv[2]));
const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

const server = createServer((req, res) => {
  const name = normalize(decodeURIComponent(req.url.split('?')[0]));
  const given = { model: request.model, ...request.files }[name.slice(1)];
  const file = given ?? join(here, name === '/' ? request.page ?? 'viewer.html' : name);
  createReadStream(file)
    .on('error', () => res.writeHead(404).end())
    .once('open', () => res.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' }))
    .pipe(res);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));

const browser = await chromium.launch({
  executablePath: request.chromium,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--autoplay-policy=no-user-gesture-required'],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120000);
  const messages = [];
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) messages.push(`${m.type()}: ${m.text()}`); });
  page.on('pageerror', (e) => messages.push(`error: ${e.message}`));
  page.on('requestfailed', (r) => messages.push(`error: ${r.url()} failed`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction('window.shot');
  const info = await page.evaluate('load()');
  const positions = [], weights = [];
  for (const shot of request.shots) {
    const r = await page.evaluate((s) => window.shot(s), shot);
    writeFileSync(shot.file, Buffer.from(r.image.split(',')[1], 'base64'));
    positions.push(r.positions);
    weights.push(r.weights);
  }
  console.log(JSON.stringify({ ...info, messages, positions, weights }));
} finally {
  await browser.close();
  server.close();
}
