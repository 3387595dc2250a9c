import { expect, it } from 'vitest'
import type { Terminal } from '../ui/terminal.ts'
import { showModelPlan } from './show-model-plan.ts'

it('reports what a model needs by what holds it, and what the machine has', async () => {
  const lines: string[] = []
  const terminal = { print: (line: string) => lines.push(line) } as unknown as Terminal
  const { memory, fits } = await showModelPlan('stories260k', { weights: 'q8' }, terminal)
  const { packedBytes, copies, floatBytes, tableBytes, packingBytes, processBytes } = memory
  expect(fits).toBe(true)
  expect(memory.peakBytes).toBe(
    packedBytes * copies + floatBytes + tableBytes + packingBytes + processBytes,
  )
  expect(lines[0]).toBe('stories260k: llama, 5 layers')
  expect(lines[1]).toMatch(/^packed weights, 4 programs with a copy each +\d/)
  expect(lines.some((line) => /^peak memory +\d+\.\d MB$/.test(line))).toBe(true)
  expect(lines.at(-1)).toMatch(/^this machine has .+ of which .+ are free: it fits$/)
})

it('counts what an engine may take in addition to the model', async () => {
  const lines: string[] = []
  const terminal = { print: (line: string) => lines.push(line) } as unknown as Terminal
  const asked = { kvBytes: 3e9, expertBytes: 2e9 }
  const plan = await showModelPlan('stories260k', { engine: asked }, terminal)
  expect(plan.engine).toEqual(asked)
  expect(lines.find((line) => line.startsWith('keys and values of'))).toMatch(/ 3\.0 GB$/)
  expect(lines.find((line) => line.startsWith('peak memory'))).toMatch(/ 5\.3 GB$/)
  const { engine } = await showModelPlan('stories260k', { engine: {} }, terminal)
  expect(engine).toEqual({ kvBytes: 2 ** 30, expertBytes: 2 ** 29 })
})
