// Studio as graft serve offers it: examples/web/studio bundled into dist/studio, each file
// compressed by gzip as it is sent. ONNX Runtime's WebAssembly is left out, because it comes from
// the package onnxruntime-web.
import {
  globSync,
  mkdtempSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { constants, gzipSync } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const site = join(root, 'examples', 'web')

/** The page is at the root of the folder, not in a folder next to its assets. */
const places = { 'studio/index.html': 'index.html', 'icon.svg': 'icon.svg' }

/** ONNX Runtime keeps its name and is found under ort/. */
const nameAsset = ({ names: [name = ''] }) =>
  name.endsWith('.wasm') ? 'ort/[name][extname]' : 'assets/[name]-[hash][extname]'

/** Loaded where an answer must follow a grammar, which Studio never asks for. */
const external = ['@mlc-ai/web-xgrammar']

async function bundle(target) {
  const { build, loadConfigFromFile } = await import('vite')
  const own = join(site, 'vite.config.ts')
  const { config } = await loadConfigFromFile({ command: 'build', mode: 'production' }, own)
  const output = { assetFileNames: nameAsset }
  const input = join(site, 'studio', 'index.html')
  await build(
    Object.assign(config, {
      configFile: false,
      logLevel: 'error',
      worker: Object.assign(config.worker, { rolldownOptions: { output, external } }),
      build: Object.assign(config.build, {
        outDir: target,
        emptyOutDir: true,
        manifest: false,
        reportCompressedSize: false,
        rolldownOptions: { input, output },
      }),
    }),
  )
}

/** Writes the page into a folder; gives its files and their bytes, as they are and compressed. */
export async function buildStudio(target = join(root, 'dist', 'studio')) {
  const scratch = mkdtempSync(join(tmpdir(), 'graft-studio-'))
  const sizes = { files: 0, bytes: 0, packedBytes: 0 }
  try {
    await bundle(scratch)
    rmSync(target, { recursive: true, force: true })
    for (const path of globSync('{studio/index.html,icon.svg,assets/*.{js,css}}', {
      cwd: scratch,
    })) {
      const file = join(scratch, path)
      if (!statSync(file).isFile()) continue
      const name = path.replaceAll('\\', '/')
      const bytes = name.endsWith('.html')
        ? Buffer.from(readFileSync(file, 'utf8').replaceAll('"../', '"./'))
        : readFileSync(file)
      const packed = gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION })
      const place = join(target, `${places[name] ?? name}.gz`)
      mkdirSync(dirname(place), { recursive: true })
      writeFileSync(place, packed)
      sizes.files++
      sizes.bytes += bytes.length
      sizes.packedBytes += packed.length
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  return sizes
}
