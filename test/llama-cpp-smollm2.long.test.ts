// The real SmolLM2 in f16 with a LoRA on every linear layer: llama.cpp and Graft read the same two
// files and write the same tokens.

import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { encodeGgufAdapter, loadGgufAdapter } from '../src/adapters/index.ts'
import { initializeAdapter } from '../src/adapters/create-adapter.ts'
import { fromFloat32, toFloat32 } from '../src/formats/convert.ts'
import { openGguf } from '../src/formats/gguf/reader.ts'
import { copyGguf, type GgufChange } from '../src/formats/gguf/copy.ts'
import { createFileSink } from '../src/node/files/file-sink.ts'
import { openFileSource } from '../src/node/files/file-source.ts'
import { loadModel } from '../src/node/index.ts'
import { smollm2Q4 } from './smollm2.ts'
import { scratchFolder } from './support/cli.ts'
import { llamaCpp, llamaGreedy } from './support/llama-cpp.ts'

const scratch = scratchFolder()
const base = join(scratch.path, 'f16.gguf')
let folder = ''
let missing: string | undefined

beforeAll(async () => {
  const llama = await llamaCpp()
  const smollm2 = await smollm2Q4()
  if ('reason' in llama || 'reason' in smollm2) {
    missing = 'reason' in llama ? llama.reason : 'reason' in smollm2 ? smollm2.reason : undefined
    return
  }
  folder = llama.folder
  const file = await openGguf(smollm2.gguf)
  const changes = new Map<string, GgufChange>()
  for (const [name, { type, shape }] of file.tensors) {
    if (type === 'f32') continue
    const read = async () =>
      ({ dtype: 'f16', shape, data: fromFloat32(toFloat32(await file.read(name)), 'f16') }) as const
    changes.set(name, { dtype: 'f16', shape, read })
  }
  await createFileSink(scratch.path).write('f16.gguf', copyGguf(file, changes))
  await file.close()
}, 300_000)
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})
afterAll(() => scratch.remove())

it('writes the same tokens with and without the adapter', { timeout: 300_000 }, async () => {
  const model = await loadModel(base)
  const made = initializeAdapter(
    'lora',
    { rank: 8, targets: 'all-linear', start: 'random', alpha: 1 },
    model.base.graph,
    { seed: 2 },
  )
  await createFileSink(scratch.path).write('lora.gguf', encodeGgufAdapter(made, model.base.graph))
  const lora = join(scratch.path, 'lora.gguf')
  const adapter = await loadGgufAdapter(await openFileSource(lora), model.base.graph)
  const asked = ['What is the capital of France?', 'Name three colours.', 'Tell me about the sea.']
  const prompts = asked.map((content) => model.encode([{ role: 'user', content }]))
  const request = { model: base, prompts, tokens: 20 }
  const ours = async (own?: typeof adapter): Promise<readonly number[][]> =>
    (await model.generateBatch(prompts, { adapter: own, maxTokens: 20, exact: true })).map(
      ({ ids, reason }) => (reason === 'eos' ? [...ids, model.config.eosTokenIds[0]!] : [...ids]),
    )
  const bare = await ours()
  const adapted = await ours(adapter)
  expect(await llamaGreedy(folder, request)).toEqual(bare)
  expect(await llamaGreedy(folder, { ...request, lora })).toEqual(adapted)
  expect(adapted).not.toEqual(bare)
  await model.dispose()
})
