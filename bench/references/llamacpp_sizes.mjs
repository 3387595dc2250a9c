// llama.cpp through node-llama-cpp: first token, prefill of 256, decode and peak memory of one process,
// 2 threads. usage: node llamacpp_sizes.mjs MODEL.gguf
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
const [modelPath] = process.argv.slice(2)
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.error,
  maxThreads: 2,
})
const model = await llama.loadModel({ modelPath })
const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads: 2 })
const sequence = context.getSequence()
const ids = (count, seed) =>
  Array.from({ length: count }, (_, i) => 100 + ((i * 37 + seed * 101) % 20000))
// as many as `graft run Hello` reads with the chat template
for await (const _ of sequence.evaluate(ids(31, 1), { temperature: 0 })) break
const firstTokenSeconds = performance.now() / 1000
let prefill = 0
let decode = 0
for (const seed of [2, 3]) {
  await sequence.clearHistory()
  let started = performance.now()
  await sequence.evaluateWithoutGeneratingNewTokens(ids(256, seed))
  prefill = (256 * 1000) / (performance.now() - started)
  let n = 0
  started = performance.now()
  for await (const _ of sequence.evaluate([5], { temperature: 0 })) if (++n >= 96) break
  decode = (n * 1000) / (performance.now() - started)
}
const peakBytes = process.resourceUsage().maxRSS * 1024
console.log(JSON.stringify({ name: 'llama.cpp', firstTokenSeconds, prefill, decode, peakBytes }))
process.exit(0)
