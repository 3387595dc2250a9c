// llama.cpp through node-llama-cpp: greedy decode behind long prompts, 2 threads. usage: node llamacpp_contexts.mjs MODEL.gguf LENGTH…
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
const [modelPath, ...lengths] = process.argv.slice(2)
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.error,
  maxThreads: 2,
})
const model = await llama.loadModel({ modelPath })
for (const length of lengths.map(Number)) {
  const context = await model.createContext({ contextSize: 8192, batchSize: 512, threads: 2 })
  const sequence = context.getSequence()
  const ids = Array.from({ length }, (_, i) => 100 + ((i * 37) % 20000))
  await sequence.evaluateWithoutGeneratingNewTokens(ids)
  let n = 0
  const started = performance.now()
  for await (const _ of sequence.evaluate([5], { temperature: 0 })) if (++n >= 48) break
  console.log(
    JSON.stringify({
      name: `llama.cpp decode behind ${length}`,
      tokensPerSecond: +((n / (performance.now() - started)) * 1e3).toFixed(1),
    }),
  )
  await context.dispose()
}
process.exit(0)
