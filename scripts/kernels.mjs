// Compiles kernels/*.ts, which is AssemblyScript, into the TypeScript files that carry the results:
// `npm run build -- --kernels`. They are committed, so nobody needs the compiler to use the
// package; a test compares each with a fresh compile.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import asc from 'assemblyscript/asc'

const relaxed = ['--enable', 'relaxed-simd']

/**
 * Sources, the files that carry what they compile to, and the variants of each. Matrix products and
 * merges have no relaxed variant, because fused multiply-adds would change their results.
 */
const targets = {
  'kernels/linalg.ts': { path: 'src/base/linalg/compiled.ts', variants: { simdModule: [] } },
  'kernels/merge.ts': { path: 'src/merge/kernels/compiled.ts', variants: { simdModule: [] } },
  'kernels/micro.ts': {
    path: 'src/micro/kernels/compiled.ts',
    variants: { simdModule: [], relaxedSimdModule: relaxed },
  },
  'kernels/packed.ts': {
    path: 'src/adapters/packed/compiled.ts',
    variants: { simdModule: [], relaxedSimdModule: relaxed },
  },
  'kernels/learn.ts': {
    path: 'src/learn/kernels/compiled.ts',
    variants: { simdModule: [], relaxedSimdModule: relaxed },
  },
}

/** Sources, and the files that carry what they compile to. */
export const kernelSources = Object.fromEntries(
  Object.entries(targets).map(([source, { path }]) => [source, path]),
)

const always = [
  '--runtime',
  'stub',
  '--noAssert',
  '--importMemory',
  '--noExportMemory',
  '--optimizeLevel',
  '3',
  '--shrinkLevel',
  '0',
  '--converge',
  '--enable',
  'simd',
]

async function compile(root, source, options) {
  const written = new Map()
  const { error, stderr } = await asc.main(
    [source, '--outFile', 'out.wasm', ...always, ...options],
    {
      readFile: (name) => (name === source ? readFileSync(join(root, name), 'utf8') : null),
      writeFile: (name, contents) => void written.set(name, contents),
      listFiles: () => [],
    },
  )
  if (error) throw new Error(`${source} does not compile: ${error.message}\n${stderr}`)
  return Buffer.from(written.get('out.wasm'))
}

/** What the generated file of a source has to say, and how large the modules in it are. */
export async function compiledKernels(root, source) {
  const header = [
    `// Generated from ${source} by \`npm run build -- --kernels\`; do not edit. WebAssembly`,
    '// in base64: simdModule needs vectors, relaxedSimdModule (where there is one) relaxed',
    '// instructions as well (fused multiply-add). Each imports its memory as env.memory.',
  ]
  const lines = []
  const sizes = {}
  for (const [name, options] of Object.entries(targets[source].variants)) {
    const bytes = await compile(root, source, options)
    sizes[name] = bytes.length
    lines.push(`\nexport const ${name} =\n  '${bytes.toString('base64')}'`)
  }
  return { text: `${header.join('\n')}\n${lines.join('\n')}\n`, sizes }
}
