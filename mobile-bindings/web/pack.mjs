/**
 * Makes the package of what was compiled: types are checked and declared, the worker and the page's side become one file each, the
 * module is made smaller, and what a browser downloads is weighed. `cargo xtask bindings` calls it where all of that lies.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';

/** What all of it may weigh, packed with brotli: a page on a slow phone line (1.6 Mbit/s) has the core in 2.5 seconds. */
const BYTES_MAX = 500_000;
/**
 * What the module may use, one by one: `--all-features` makes modules that no browser loads yet. All of these are in every browser
 * since 2022.
 */
const FEATURES = ['bulk-memory', 'bulk-memory-opt', 'nontrapping-float-to-int', 'sign-ext', 'mutable-globals', 'reference-types',
  'multivalue'];

/**
 * What makes it small when it is packed, found by trying (decision 0018). What is said twice costs a packed module little, so passes
 * that share a value in a local, or bring a function to its only caller, make it larger. Sorted by name, what was made from one
 * generic function stands together. Offsets can be folded, since nobody points into the first kB of the memory, which is the far
 * end of the stack.
 */
const SMALLER = ['-Os', '--low-memory-unused', '--one-caller-inline-max-function-size', '0', '--skip-pass=local-cse',
  '--skip-pass=simplify-locals', '--reorder-functions-by-name'];

const run = (program, ...words) => execFileSync(`node_modules/.bin/${program}`, words, { stdio: 'inherit' });

mkdirSync('dist', { recursive: true });
const compiled = readFileSync('ts/core_bg.wasm');
const version = createHash('sha256').update(compiled).digest('hex').slice(0, 16);
const [made, noted] = ['dist/core_bg.wasm', 'module-of'];
// Making it smaller takes half a minute, and most runs bring the same module again.
if (!existsSync(made) || !existsSync(noted) || readFileSync(noted, 'utf8') !== version) {
  run('wasm-opt', ...SMALLER, ...FEATURES.map((feature) => `--enable-${feature}`), 'ts/core_bg.wasm', '-o', made);
  writeFileSync(noted, version);
}
for (const old of ['index.js', 'worker.js']) rmSync(`dist/${old}`, { force: true });
run('tsc', '-p', '.');
cpSync('ts/core.d.ts', 'dist/core.d.ts');
run('esbuild', 'ts/index.ts', 'ts/worker.ts', '--bundle', '--format=esm', '--minify', '--target=es2022', '--outdir=dist',
  '--log-level=warning', `--define:SAMENSPRAAK_VERSION="${version}"`);

writeFileSync('surface.txt', surface());

let bytes = 0;
for (const file of ['core_bg.wasm', 'worker.js', 'index.js']) {
  const packed = brotliCompressSync(readFileSync(`dist/${file}`)).length;
  bytes += packed;
  console.log(`${file}: ${packed} bytes packed`);
}
console.log(`all: ${bytes} of ${BYTES_MAX} bytes`);
if (bytes > BYTES_MAX) {
  console.error(`the package weighs ${bytes} bytes; ${BYTES_MAX} are allowed`);
  process.exit(1);
}

/** What an app maker can name: the declarations behind `index.d.ts`, without what they say of themselves. */
function surface() {
  const plain = (file) => readFileSync(`dist/${file}.d.ts`, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\n/gm, '');
  const parts = [];
  for (const [, names, file] of plain('index').matchAll(/export (?:type )?\{([^}]*)\} from '\.\/(\w+)\.js'/g)) {
    const text = plain(file);
    for (const name of names.split(',').map((name) => name.trim().replace(/^type /, '')).filter(Boolean).sort()) {
      const at = text.search(new RegExp(`^export (declare )?(async )?(class|function|interface|type|const) ${name}\\b`, 'm'));
      if (at < 0) throw new Error(`${name} isn't declared in ${file}.d.ts`);
      const end = text.slice(at + 1).search(/^(export|declare|import)\b/m);
      parts.push(text.slice(at, end < 0 ? undefined : at + 1 + end).split('\n').filter((line) => !/^\s*(#|private )/.test(line)).join('\n').trim());
    }
  }
  return `${parts.join('\n')}\n`;
}
