// How vitest runs here: two workers (the machines that matter have two cores), long tests only where they are asked for.
// Stages other than unit are chosen by path in scripts/check.mjs; this file knows nothing of them.
import { configDefaults, defineConfig } from 'vitest/config'
import SlowFirst from './scripts/slow-first.ts'

const long = process.env['GRAFT_LONG'] === '1'
// GRAFT_BACKEND=wasm: tests that import ONNX Runtime get the WebAssembly one.
const wasm = process.env['GRAFT_BACKEND'] === 'wasm'
const webRuntime = new URL('node_modules/onnxruntime-web/dist/ort.node.min.mjs', import.meta.url)

export default defineConfig({
  resolve: { alias: wasm ? { 'onnxruntime-node': webRuntime.pathname } : {} },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    exclude: long ? configDefaults.exclude : [...configDefaults.exclude, '**/*.long.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: SlowFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    allowOnly: false,
  },
})
