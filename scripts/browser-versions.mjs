// What the programs for browsers need of them, and how large the engine is that a page loads first:
// `node scripts/setup.mjs scripts/browser-versions.mjs` bundles the entries, looks for each feature
// of the table in the result, and prints the least versions with the features that decide them.
// Versions are those of MDN's browser-compat-data 8.1.9.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Name, how it is written in a bundle, and the first Chrome, Firefox and Safari that have it. */
const neededTable = [
  ['Promise.withResolvers', /\.withResolvers\b/, 119, 121, 17.4],
  ['Map.groupBy, Object.groupBy', /\b(Map|Object)\.groupBy\b/, 117, 119, 17.4],
  ['AbortSignal.any', /AbortSignal\.any\b/, 116, 124, 17.4],
  ['URL.canParse', /URL\.canParse\b/, 120, 115, 17],
  ['navigator.storage.estimate', /storage\.estimate\b/, 61, 57, 17],
  ['isWellFormed, toWellFormed', /\.(is|to)WellFormed\b/, 111, 119, 16.4],
  ['lookbehind in a regular expression', /\(\?<[=!]/, 62, 78, 16.4],
  ['DecompressionStream', /\bDecompressionStream\b/, 80, 113, 16.4],
  ['toSorted, toReversed, toSpliced, with', /\.to(Sorted|Reversed|Spliced)\(/, 110, 115, 16],
  ['a worker that is a module', /type:\s*["'`]module["'`]/, 80, 114, 15],
  ['navigator.storage.getDirectory (OPFS)', /\.getDirectory\b/, 86, 111, 15.2],
  ['navigator.locks', /navigator\.locks\b/, 69, 96, 15.4],
  ['findLast', /\.findLast(Index)?\b/, 97, 104, 15.4],
  ['structuredClone', /\bstructuredClone\b/, 98, 94, 15.4],
  ['AbortSignal.throwIfAborted', /\.throwIfAborted\b/, 100, 97, 15.4],
  ['Object.hasOwn', /Object\.hasOwn\b/, 93, 92, 15.4],
  ['at', /\.at\(/, 92, 90, 15.4],
  ['an error’s cause', /\{\s*cause\b/, 93, 91, 15],
  ['WeakRef, FinalizationRegistry', /\b(WeakRef|FinalizationRegistry)\b/, 84, 79, 14.1],
  ['static blocks of classes', /\bstatic\{/, 94, 93, 16.4],
  ['logical assignment', /\?\?=|\|\|=|&&=/, 85, 79, 14],
  ['Array.fromAsync', /Array\.fromAsync\b/, 121, 115, 16.4],
  ['iterators with map, filter, take', /\b(Iterator\.from|\.drop)\(/, 122, 131, 18.4],
  ['for await over a ReadableStream', /\bReadableStream\.from\b/, 124, 110, 27],
  ['AbortSignal.timeout', /AbortSignal\.timeout\b/, 124, 100, 16],
]
/** What is done without where it is not there, and what that means. */
const optionalTable = [
  ['files kept in OPFS (createWritable)', /\.createWritable\b/, 86, 111, 26],
  ['routers whose files are f16 (Float16Array)', /\bFloat16Array\b/, 135, 129, 18.2],
  ['the quickest kernels of MicroLoRA (relaxed SIMD)', /relaxed-simd/, 114, 146, 27.3],
]
const toFeature = ([name, pattern, chrome, firefox, safari]) => ({
  name,
  pattern,
  versions: { chrome, firefox, safari },
})

/** ONNX Runtime's own WebAssembly has SIMD, and no form without. */
const runtimeNeeds = {
  name: 'SIMD in WebAssembly',
  versions: { chrome: 91, firefox: 89, safari: 16.4 },
}

const entries = {
  page: `export { loadModel } from '${join(root, 'src/web/index.ts')}'`,
  client: `export { openEngineWorker } from '${join(root, 'src/web/index.ts')}'`,
  worker: `import '${join(root, 'src/web/worker/worker-main.ts')}'`,
  everything: `export * from '${join(root, 'src/web/index.ts')}'`,
  micro: `export * from '${join(root, 'src/micro/index.ts')}'`,
}

/** One entry as a bundler leaves it: what is loaded first, and all of our code. */
export async function bundleEntry(name) {
  const { rolldown } = await import('rolldown')
  const entry = {
    name: 'entry',
    resolveId: (id) => (id === 'entry' ? '\0entry' : undefined),
    load: (id) => (id === '\0entry' ? entries[name] : undefined),
  }
  const bundle = await rolldown({
    input: 'entry',
    platform: 'browser',
    external: [/^onnxruntime-web/, '@mlc-ai/web-xgrammar'],
    logLevel: 'silent',
    plugins: [entry],
  })
  const { output } = await bundle.generate({ format: 'es', minify: true })
  const chunks = new Map(output.map((chunk) => [chunk.fileName, chunk]))
  const first = new Set()
  const visit = (file) => {
    if (first.has(file) || !chunks.has(file)) return
    first.add(file)
    for (const other of chunks.get(file).imports) visit(other)
  }
  visit(output.find((chunk) => chunk.isEntry).fileName)
  const firstBytes = [...first].reduce(
    (sum, file) => sum + gzipSync(chunks.get(file).code, { level: 9 }).length,
    0,
  )
  return { firstBytes, code: output.map((chunk) => chunk.code ?? '').join('\n') }
}

/** The least versions for some code, and which features decide each. */
export function findVersions(code, further = []) {
  const needed = [...neededTable.map(toFeature).filter(({ pattern }) => pattern.test(code))]
  const found = [...needed, ...further]
  const least = {}
  for (const browser of ['chrome', 'firefox', 'safari']) {
    const version = Math.max(...found.map(({ versions }) => versions[browser]))
    const because = found.filter(({ versions }) => versions[browser] === version)
    least[browser] = { version, because: because.map(({ name }) => name) }
  }
  const optional = optionalTable.map(toFeature).filter(({ pattern }) => pattern.test(code))
  return { least, needed: found, optional }
}

/** Of graftlm/web with its worker, and of graftlm/micro. */
export async function measureBrowserNeeds() {
  const names = Object.keys(entries)
  const bundles = await Promise.all(names.map(bundleEntry))
  const { page, client, worker, everything, micro } = Object.fromEntries(
    names.map((name, i) => [name, bundles[i]]),
  )
  return {
    bytes: { page: page.firstBytes, worker: client.firstBytes + worker.firstBytes },
    web: findVersions(everything.code + worker.code, [runtimeNeeds]),
    micro: findVersions(micro.code),
  }
}

function printNeeds(title, { least, needed, optional }) {
  console.log(`\n${title}`)
  for (const [browser, { version, because }] of Object.entries(least))
    console.log(`  ${browser.padEnd(8)}${String(version).padEnd(6)}${because.join('; ')}`)
  const write = ({ chrome, firefox, safari }) =>
    [chrome, firefox, safari].map((version) => String(version).padStart(6)).join('')
  for (const { name, versions } of needed) console.log(`    ${write(versions)}  ${name}`)
  for (const { name, versions } of optional)
    console.log(`    ${write(versions)}  not needed: ${name}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { bytes, web, micro } = await measureBrowserNeeds()
  for (const [name, size] of Object.entries(bytes))
    console.log(`first load, engine in a ${name}: ${(size / 1000).toFixed(1)} kB by gzip`)
  printNeeds('graftlm/web', web)
  printNeeds('graftlm/micro', micro)
}
