// Greedy tokens by llama.cpp through node-llama-cpp, keys and values in f32, one thread: on a busy machine two wait for each other.
// Copied beside node_modules before it is run.
// usage: node llama-greedy.mjs '{"model":"base.gguf","lora":"adapter.gguf","prompts":[[1,2]],"tokens":16}'   prints [[…], …]
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
const { model: modelPath, lora, prompts, tokens } = JSON.parse(process.argv[2])
const llama = await getLlama({
  gpu: false,
  build: 'never',
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
  maxThreads: 1,
})
const model = await llama.loadModel({
  modelPath,
  experimentalDefaultContextKvCacheKeyType: 'F32',
  experimentalDefaultContextKvCacheValueType: 'F32',
})
const adapters = lora ? { adapters: [{ filePath: lora, scale: 1 }] } : undefined
const context = await model.createContext({
  contextSize: 256,
  batchSize: 128,
  threads: 1,
  flashAttention: false,
  ...(adapters && { lora: adapters }),
})
const sequence = context.getSequence()
const answers = []
for (const prompt of prompts) {
  await sequence.clearHistory()
  const answer = []
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true }))
    if (answer.push(token) >= tokens || model.isEogToken(token)) break
  answers.push(answer)
}
console.log(JSON.stringify(answers))
process.exit(0)
