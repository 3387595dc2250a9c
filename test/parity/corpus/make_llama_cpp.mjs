// What llama.cpp makes of the odd GGUF adapters of the corpus, through node-llama-cpp: the next
// token's logarithms of probabilities behind each of ten tokens, or that it refuses the file.
// usage: node make_llama_cpp.mjs INPUTS_DIR LLAMA_DIR OUT_JSON
// INPUTS_DIR is what write-inputs.ts wrote; LLAMA_DIR holds node_modules/node-llama-cpp.
//
// Each adapter has a process of its own, because a damaged file may end it; that is "error" too. A
// result is four projections, sum_j log p[j] cos(0.37 k j) / sqrt(n) for k = 1..4.

import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ids = [1, 403, 407, 261, 378, 432, 410, 266, 310, 425]

async function project(base, adapter) {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    maxThreads: 1,
  })
  const model = await llama.loadModel({
    modelPath: base,
    experimentalDefaultContextKvCacheKeyType: 'F32',
    experimentalDefaultContextKvCacheValueType: 'F32',
  })
  const context = await model.createContext({
    contextSize: 64,
    threads: 1,
    flashAttention: false,
    ...(adapter && { lora: { adapters: [{ filePath: adapter, scale: 1 }] } }),
  })
  const asked = ids.map((id) => [
    id,
    { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1 } } },
  ])
  const outputs = await context.getSequence().controlledEvaluate(asked)
  const logs = outputs.flatMap(({ next }) => {
    const values = new Float64Array(next.probabilities.size)
    for (const [token, probability] of next.probabilities) values[token] = Math.log(probability)
    return [...values]
  })
  const found = [1, 2, 3, 4].map(
    (k) =>
      logs.reduce((sum, value, j) => sum + value * Math.cos(0.37 * k * j), 0) /
      Math.sqrt(logs.length),
  )
  return found.every(Number.isFinite) ? found.map((x) => Number(x.toFixed(5))) : 'error'
}

function readAll(inputs, llama, out) {
  const script = join(llama, `corpus-${process.pid}.mjs`)
  copyFileSync(fileURLToPath(import.meta.url), script) // its imports are looked for beside it
  const base = join(inputs, 'stories.gguf')
  const read = (adapter) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, '--one', base, ...(adapter ? [adapter] : [])],
      { encoding: 'utf8', cwd: llama, timeout: 60_000 },
    )
    const line = stdout.trim().split('\n').at(-1)
    return status === 0 ? JSON.parse(line) : { result: 'error', details: stderr.slice(-300) }
  }
  console.log('the base', read().result)
  const answers = readdirSync(join(inputs, 'foreign'))
    .map(Number)
    .sort((a, b) => a - b)
    .map((number) => {
      const folder = join(inputs, 'foreign', String(number))
      if (!existsSync(join(folder, 'gguf'))) return { result: null }
      return read(join(folder, 'adapter.gguf'))
    })
  rmSync(script)
  const results = answers.map(({ result }) => result)
  const { version } = JSON.parse(
    readFileSync(join(llama, 'node_modules', 'node-llama-cpp', 'package.json'), 'utf8'),
  )
  const versions = { 'llama.cpp': `that of node-llama-cpp ${version}` }
  writeFileSync(out, JSON.stringify({ versions, results }))
  writeFileSync(join(inputs, 'llama-details.json'), JSON.stringify(answers))
  console.log(results.filter((result) => result === 'error').length, 'errors of', results.length)
}

if (process.argv[2] === '--one') {
  try {
    console.log(JSON.stringify({ result: await project(process.argv[3], process.argv[4]) }))
  } catch (error) {
    console.log(JSON.stringify({ result: 'error', details: String(error).slice(0, 300) }))
  }
  process.exit(0)
} else readAll(process.argv[2], process.argv[3], process.argv[4])
