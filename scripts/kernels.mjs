// Compiles kernels/*.ts, which is AssemblyScript, into the TypeScript files that carry the results:
// `npm run build -- --kernels`. They are committed, so nobody needs the compiler to use the
// package; a test compares each with a fresh compile.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import asc from 'assemblyscript/asc'

/** Sources, and the files that carry what they compile to. */
export const kernelSources = {
  'kernels/micro.ts': 'src/micro/kernels/compiled.ts',
  'kernels/learn.ts': 'src/learn/kernels/compiled.ts',
}

// prettier-ignore
const always = ['--runtime', 'stub', '--noAssert', '--importMemory', '--noExportMemory', '--optimizeLevel', '3', '--shrinkLevel', '0', '--converge', '--enable', 'simd']
const variants = { simdModule: [], relaxedSimdModule: ['--enable', 'relaxed-simd'] }

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
    `// Generated from ${source} by \`npm run build -- --kernels\`; do not edit. WebAssembly modules in base64: vectors, and vectors with`,
    '// relaxed instructions (fused multiply-add). Each imports its memory as env.memory and exports the functions of kernel.ts.',
  ]
  const lines = []
  const sizes = {}
  for (const [name, options] of Object.entries(variants)) {
    const bytes = await compile(root, source, options)
    sizes[name] = bytes.length
    lines.push(`\nexport const ${name} =\n  '${bytes.toString('base64')}'`)
  }
  return { text: `${header.join('\n')}\n${lines.join('\n')}\n`, sizes }
}
