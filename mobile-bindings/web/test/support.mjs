/** A wijk of the real program, a place that serves the package, and browsers that can be killed. */
import { spawn, execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { extname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { chromium } from 'playwright-core';

/** Longer than anything here takes on a slow machine that is busy with something else. */
export const PATIENCE_MS = 90_000;

const PACKAGE = process.env.SAMENSPRAAK_PACKAGE;
const PROGRAM = process.env.SAMENSPRAAK_PROGRAM;
const KINDS = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>test</title>';

/** Polls until there is an answer. */
export async function until(what, look) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((go) => setTimeout(go, 20));
  }
  throw new Error(`waited in vain: ${what}`);
}

function freePort() {
  return new Promise((tell) => {
    const one = createSocket();
    one.listen(0, '127.0.0.1', () => {
      const { port } = one.address();
      one.close(() => tell(port));
    });
  });
}

/** The program and its folder; it can be stopped and started again on the same port. */
export class Server {
  constructor(folder, port) {
    this.folder = join(folder, 'wijk');
    this.port = port;
    this.address = `http://127.0.0.1:${port}`;
    this.process = null;
    this.run('wijk', 'new', this.folder, '--name', 'Testwijk', '--municipality', 'Testgemeente', '--code', 'WK036300',
      '--year', '2025', '--address', this.address);
  }

  static async make(folder) {
    return new Server(folder, await freePort());
  }

  run(...words) {
    return execFileSync(PROGRAM, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS });
  }

  cards(role, count = 1) {
    const printed = this.run('invite', this.folder, '--role', role, '--count', String(count), '--plain');
    return printed.split('\n').filter((line) => line.startsWith('http'));
  }

  async start() {
    this.process = spawn(PROGRAM, ['serve', this.folder, '--listen', `127.0.0.1:${this.port}`], { stdio: 'ignore' });
    await until('the server listens', async () => {
      try {
        return (await fetch(`${this.address}/readyz`)).ok;
      } catch {
        return false;
      }
    });
  }

  async stop() {
    if (!this.process) return;
    const ended = new Promise((tell) => this.process.once('exit', tell));
    this.process.kill('SIGTERM');
    await ended;
    this.process = null;
  }
}

/** Serves the package, and an empty page. What `extra` holds is served too: path and text. */
export async function serve(extra = {}) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    const send = (kind, body) => response.writeHead(200, { 'content-type': kind, 'cache-control': 'no-store' }).end(body);
    if (path === '/') return send('text/html', PAGE);
    if (path in extra) return send(KINDS[extname(path)], extra[path]);
    try {
      return send(KINDS[extname(path)] ?? 'application/octet-stream', readFileSync(join(PACKAGE, 'dist', path.slice(1))));
    } catch {
      return response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** A browser with a profile of its own. Killed and started again it is the same device. */
export class Browser {
  static async start(profile) {
    const browser = new Browser();
    const debugging = ['--remote-debugging-port=0', `--user-data-dir=${profile}`];
    // The sandbox needs rights that a container seldom has; the only pages it opens are ours.
    const quiet = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'];
    browser.process = spawn('chromium', [...debugging, ...quiet, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const address = await new Promise((tell, fail) => {
      let said = '';
      browser.process.stderr.on('data', (bytes) => {
        said += bytes;
        const found = said.match(/DevTools listening on (ws:\S+)/);
        if (found) tell(found[1]);
      });
      browser.process.once('exit', () => fail(new Error(`chromium ended: ${said}`)));
    });
    browser.playwright = await chromium.connectOverCDP(address, { timeout: PATIENCE_MS });
    [browser.context] = browser.playwright.contexts();
    browser.context.setDefaultTimeout(PATIENCE_MS);
    return browser;
  }

  /** A tab with the device of a name open; `tab.evaluate` has it as `wijk`. */
  async tab(address, name = 'phone') {
    const page = await this.context.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error}`));
    await page.goto(address);
    await page.evaluate(async (name) => {
      const { openWijk, WijkFailure } = await import('/index.js');
      const { promise, resolve } = Promise.withResolvers();
      Object.assign(globalThis, { openWijk, WijkFailure, notices: [], resolve, promise });
      globalThis.wijk = await openWijk({ name });
      wijk.subscribe((notice) => notices.push(notice));
      globalThis.failure = (doing) => doing.then(() => null, (error) => error.problem ?? { kind: 'thrown', detail: String(error) });
    }, name);
    return page;
  }

  /** The power button: every process of it, at once. */
  async kill() {
    const ended = new Promise((tell) => this.process.once('exit', tell));
    process.kill(-this.process.pid, 'SIGKILL');
    await ended;
    await this.playwright.close().catch(() => {});
  }
}

/** A world for one test, taken away after it. */
export async function world(test, { served = true } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'samenspraak-web-'));
  const browsers = [];
  const [pages, server] = await Promise.all([serve(), Server.make(folder)]);
  test.after(async () => {
    await Promise.all(browsers.map((browser) => browser.kill().catch(() => {})));
    await server.stop();
    pages.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  if (served) await server.start();
  const browser = async (profile = 'profile') => {
    const one = await Browser.start(join(folder, profile));
    browsers.push(one);
    return one;
  };
  return { server, browser, address: pages.address, folder };
}
