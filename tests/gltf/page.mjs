// node page.mjs REQUEST.json: open a page in a headless Chromium and take steps; prints what it found as JSON.
// REQUEST: { url, chromium, width, height, phone, dark, webgpu, steps: [{ click | wait | evaluate | upload, files | save | shot | cpu: ... }] }
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const request = JSON.parse(readFileSync(process.argv[2]));
const browser = await chromium.launch({
  executablePath: request.chromium,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
    ...(request.webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : [])],
});
const messages = [], requests = [], results = [];
try {
  const context = await browser.newContext({
    viewport: { width: request.width ?? 1280, height: request.height ?? 800 }, isMobile: !!request.phone,
    hasTouch: !!request.phone, deviceScaleFactor: request.phone ? 2 : 1, colorScheme: request.dark ? 'dark' : 'light',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(request.timeout ?? 120000);
  page.on('console', (m) => { if (m.type() === 'error') messages.push(m.text()); });
  page.on('pageerror', (e) => messages.push(e.message));
  page.on('request', (r) => requests.push(r.url().slice(0, 100)));
  await page.goto(request.url);
  for (const step of request.steps) {
    if (step.click) await page.click(step.click);
    if (step.wait) while (!(await page.evaluate(`!!(${step.wait})`))) await page.waitForTimeout(200); // CSPs forbid waitForFunction
    if (step.evaluate) results.push(await page.evaluate(step.evaluate));
    if (step.upload) await page.setInputFiles(step.upload, step.files);
    if (step.cpu) { // seconds of all processes so far
      const { processInfo } = await (await browser.newBrowserCDPSession()).send('SystemInfo.getProcessInfo');
      results.push(processInfo.reduce((sum, p) => sum + p.cpuTime, 0));
    }
    if (step.shot) await page.screenshot({ path: step.shot });
    if (step.save) {
      const [file] = await Promise.all([page.waitForEvent('download'), page.click(step.save)]);
      await file.saveAs(step.to);
    }
  }
} finally {
  console.log(JSON.stringify({ messages, requests, results }));
  await browser.close();
}
