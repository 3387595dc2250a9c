// The snippets of ruvllm-wasm's page on MicroLoRA, ported: they run, do what the page says, and
// docs/micro-migration.md has their lengths.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MicroLora } from '../src/micro/index.ts'
import { root } from './support/sources.ts'
import { countBlocks, countPorts, readLineTable } from './support/snippets.ts'

const width = 768
const drawVector = (seed: number): Float32Array =>
  Float32Array.from({ length: width }, (_, i) => Math.sin(seed + 1.7 * i) / 20)
const hiddenState = drawVector(1)
const target = drawVector(2)

/** localStorage where there is none. */
const items = new Map<string, string>()
const localStorage = {
  getItem: (key: string): string | null => items.get(key) ?? null,
  setItem: (key: string, text: string): void => void items.set(key, text),
}
const said: string[] = []
const log = (text: string): void => void said.push(text)
const measureLength = (values: Float32Array): number => Math.hypot(...values)

describe('snippets of the page', () => {
  it('E1: basic use', () => {
    const lora = new MicroLora({ rank: 2, alpha: 4, inFeatures: 768, outFeatures: 768 })
    const output = lora.forward(hiddenState)
    // holds
    expect(output).toEqual(new Float32Array(width))
  })
  it('E2: adaptation to a quality', () => {
    const lora = new MicroLora()
    const output = lora.explore(hiddenState)
    lora.adapt(hiddenState, { explored: true, quality: 0.8 })
    lora.applyUpdates(0.01)
    const { meanQuality, samples } = lora.statistics()
    log(`Average quality: ${meanQuality}`)
    log(`Samples seen: ${samples}`)
    // holds
    const learned = lora.forward(hiddenState)
    const along = learned.reduce((sum, value, i) => sum + value * output[i]!, 0)
    expect(along).toBeGreaterThan(0) // the praised output became likelier
    expect([meanQuality, samples]).toEqual([0.8, 1])
  })
  it('E3: saving and restoring', () => {
    const lora = new MicroLora({ seed: 3 })
    localStorage.setItem('lora-state', JSON.stringify(lora))
    const restored = MicroLora.fromJSON(localStorage.getItem('lora-state')!)
    // holds
    expect(restored.toJSON()).toEqual(lora.toJSON())
  })
  it('E4: a chat with thumbs', () => {
    const lora = new MicroLora()
    function handleFeedback(hidden: Float32Array, emitted: Float32Array, wasHelpful: boolean) {
      lora.adapt(hidden, { emitted, verdict: wasHelpful ? 'good' : 'bad' })
      if (lora.pendingUpdates < 5) return
      lora.applyUpdates(0.02)
      localStorage.setItem('chat-lora', JSON.stringify(lora))
    }
    // holds
    for (let i = 0; i < 9; i++) handleFeedback(hiddenState, drawVector(i), i % 2 === 0)
    expect(lora.pendingUpdates).toBe(4)
    expect(MicroLora.fromJSON(items.get('chat-lora')!).statistics().samples).toBe(5)
  })
  it('E5: a domain over time', () => {
    const lora = new MicroLora()
    const conversations = [
      { input: hiddenState, emitted: drawVector(3), quality: 0.85 },
      { input: target, emitted: drawVector(4), quality: 0.92 },
    ]
    for (const { input, emitted, quality } of conversations) lora.adapt(input, { emitted, quality })
    lora.applyUpdates(0.01)
    // holds
    expect(measureLength(lora.forward(hiddenState))).toBeGreaterThan(0)
  })
  it('E6: an adapter for each user', () => {
    function getUserLora(userId: string): MicroLora {
      const saved = localStorage.getItem(`lora-${userId}`)
      return saved ? MicroLora.fromJSON(saved) : new MicroLora()
    }
    function saveUserLora(userId: string, lora: MicroLora): void {
      localStorage.setItem(`lora-${userId}`, JSON.stringify(lora))
    }
    // holds
    const ada = getUserLora('ada')
    ada.adapt(hiddenState, { target, quality: 1 })
    saveUserLora('ada', ada)
    expect(getUserLora('ada').statistics().samples).toBe(1)
    expect(getUserLora('ben').statistics().samples).toBe(0)
  })
  it('E7: one step for a batch', () => {
    const lora = new MicroLora()
    const samples = [1, 2, 3].map((i) => ({ input: drawVector(i), target: drawVector(i + 9) }))
    for (const sample of samples) lora.adapt(sample.input, { target: sample.target })
    lora.applyUpdates(0.01)
    // holds
    expect([lora.pendingUpdates, lora.module().steps]).toEqual([0, 1])
  })
  it('E8: a rate that follows the variance', () => {
    const lora = new MicroLora({ rate: 'times-variance' })
    for (const quality of [0, 1]) lora.adapt(hiddenState, { target, quality })
    lora.applyUpdates(0.01)
    // holds
    const fixed = new MicroLora()
    for (const quality of [0, 1]) fixed.adapt(hiddenState, { target, quality })
    fixed.applyUpdates(0.01 * (1 + fixed.statistics().variance))
    expect(lora.forward(hiddenState)).toEqual(fixed.forward(hiddenState))
  })
  it('E9: on top of a base model', async () => {
    async function generateWithLora(prompt: string, lora: MicroLora) {
      const { hiddenStates } = await baseModel.generate(prompt)
      const finalHidden = hiddenStates.slice()
      lora.forwardAdd(hiddenStates, finalHidden)
      return baseModel.projectToTokens(finalHidden)
    }
    // holds
    const lora = new MicroLora()
    lora.adapt(hiddenState, { target })
    lora.applyUpdates(0.1)
    expect(await generateWithLora('hello', lora)).not.toBe(
      await baseModel.projectToTokens(hiddenState),
    )
  })
  it('E10: memory', () => {
    log(`Memory: ${MicroLora.memoryReport({ rank: 2 }).total} bytes`)
    const smaller = new MicroLora({ rank: 1 })
    // holds
    expect(said.at(-1)).toBe('Memory: 24576 bytes')
    expect(smaller.memory().total).toBe(12_288)
  })
  it('E11: faster adaptation', () => {
    const lora = new MicroLora()
    for (let i = 0; i < 7; i++) {
      lora.adapt(drawVector(i), { target })
      if (lora.pendingUpdates >= 3) lora.applyUpdates(0.05)
    }
    // holds
    expect([lora.module().steps, lora.pendingUpdates]).toEqual([2, 1])
  })
  it('E12: feedback that says one thing', () => {
    const lora = new MicroLora({ normalizeQuality: true })
    for (let i = 0; i < 20; i++) lora.adapt(hiddenState, { target, quality: 0.95 })
    for (const { message } of lora.warnings()) log(message)
    // holds
    expect(said.at(-1)).toMatch(/^The mean quality of 20 is 0.95, outside 0.4 to 0.9/)
  })
})

/** Stands for a language model: hidden states, and tokens as a text. */
const baseModel = {
  generate: (_prompt: string) => Promise.resolve({ hiddenStates: hiddenState }),
  projectToTokens: (hidden: Float32Array) => Promise.resolve(hidden.subarray(0, 4).join(' ')),
}

describe('docs/micro-migration.md', () => {
  const page = readFileSync(join(root, 'docs/micro-migration.md'), 'utf8')
  const ports = countPorts(readFileSync(join(root, 'test/micro-snippets.test.ts'), 'utf8'))
  const table = new Map([...readLineTable(page)].filter(([id]) => id.startsWith('E')))
  it('has the lines of each port', () => {
    expect([...table].map(([id, [, here]]) => [id, here])).toEqual([...ports])
  })
  it('has the lines of each snippet', ({ skip }) => {
    const path = '/work/shared/seeds/e-micro-lora-wasm.txt'
    if (!existsSync(path)) skip('the page of ruvllm-wasm is not here')
    const blocks = countBlocks(readFileSync(path, 'utf8'), ['javascript'])
    expect([...table.values()].map(([there]) => there)).toEqual(blocks)
  })
})
