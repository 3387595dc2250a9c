// What the page of `graft bench web` does: the engine's calls, each as one function.

import { createAdapter } from '../../../src/adapters/create-adapter.ts'
import type { Adapter } from '../../../src/adapters/adapter.ts'
import { packAdapter } from '../../../src/adapters/packed/pack-adapter.ts'
import type { PackedBits } from '../../../src/adapters/packed/packed-tensor.ts'
import { createEngine, loadModel, train, type WebModel } from '../../../src/web/index.ts'

let model: WebModel
let reader: ReturnType<typeof createEngine> | undefined
const experts: Adapter[] = []

const bench = {
  async open(url: string): Promise<void> {
    model = await loadModel(url, { threads: 1 })
  },
  /** Writes so many tokens. */
  async write(prompt: string, tokens: number, expert?: number): Promise<string> {
    const adapter = expert === undefined ? undefined : experts[expert]
    return model.complete(prompt, {
      maxTokens: tokens,
      minTokens: tokens,
      temperature: 0,
      ...(adapter && { adapter }),
    })
  },
  /** Reads a prompt with products in 8 bits and writes one token. */
  async readInt8(prompt: string): Promise<string> {
    reader ??= createEngine({ model, promptProducts: 'int8' })
    const request = { prompt: model.encode(prompt), maxTokens: 1, temperature: 0 }
    let text = ''
    for await (const event of reader.generate(request))
      if (event.type === 'text-delta') text += event.text
    return text
  },
  /** Experts that the page holds, in f32 or packed in so many bits. */
  async makeExperts(count: number, bits?: PackedBits): Promise<void> {
    const options = { rank: 16, targets: 'all-linear', start: 'random' } as const
    for (let seed = 0; seed < count; seed++) {
      const expert = await createAdapter('lora', options, model, { seed })
      experts.push(bits ? packAdapter(expert, { bits }) : expert)
    }
  },
  /** Trains; calls at the end of each step. */
  async trainSteps(rows: readonly object[], steps: number): Promise<number[]> {
    const times: number[] = []
    for await (const event of train({
      model,
      data: rows,
      steps,
      adapter: { kind: 'lora', config: { targets: 'all-linear', rank: 8 } },
      batch: { rows: 2, tokens: 64 },
      maxTokens: 64,
      seed: 1,
    }))
      if (event.type === 'step-end') times.push(event.loss)
    return times
  },
}

Object.assign(globalThis, { bench })
