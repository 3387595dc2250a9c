// llama.cpp through node-llama-cpp: requests one after the other, each with the next adapter: 256
// prompt tokens and 64 new ones, 2 threads; the model stays loaded, adapters are loaded once before.
// usage: node llamacpp_requests.mjs MODEL.gguf LORA.gguf…
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
const [modelPath, ...loraPaths] = process.argv.slice(2)
const [promptTokens, newTokens] = [256, 64]
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.error,
  maxThreads: 2,
})
const model = await llama.loadModel({ modelPath })
async function answer(filePath, count) {
  const context = await model.createContext({
    contextSize: 1024,
    batchSize: 512,
    threads: 2,
    lora: { adapters: [{ filePath, scale: 1 }] },
  })
  const sequence = context.getSequence()
  const ids = Array.from({ length: promptTokens }, (_, i) => 100 + ((i * 37) % 20000))
  let written = 0
  for await (const _ of sequence.evaluate(ids, { temperature: 0 })) if (++written >= count) break
  return context
}
// A context that is kept keeps its adapter loaded, so that no request below reads a file.
const kept = []
for (const path of loraPaths) kept.push(await answer(path, 1))
const started = performance.now()
for (const path of loraPaths) await (await answer(path, newTokens)).dispose()
const seconds = (performance.now() - started) / 1000
console.log(
  JSON.stringify({
    name: 'llama.cpp requests',
    tokensPerSecond: +((loraPaths.length * (promptTokens + newTokens)) / seconds).toFixed(1),
  }),
)
process.exit(0)
