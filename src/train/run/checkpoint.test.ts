import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatError, MismatchError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { type Checkpoint, checkpointFiles, findCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { checkFingerprint } from '../fingerprint.ts'
import { memoryFolder } from '../../../test/support/train.ts'

const fingerprint = { seed: 3, schedule: 'cosine', packing: true }
const checkpointAt = (step: number): Checkpoint => ({
  fingerprint,
  state: {
    step,
    parameters: new Map([
      ['a.lora_A.weight', f32([2, 2], [step, 0.1, -1e-30, 3])],
      ['b', f32([1], [-0])],
    ]),
    optimizer: new Map([
      ['a.lora_A.weight', { mean: f32([2, 2], [1, 2, 3, step]), square: f32([4], [5, 6, 7, 8]) }],
    ]),
    best: { step: 2, loss: 0.1 + 0.2, tensors: new Map([['b', f32([1], [9])]]) },
    steps: Array.from({ length: step }, (_, i) => ({
      step: i + 1,
      loss: 1 / (i + 3),
      learningRate: 1e-3 / 7,
      gradientNorm: Math.PI,
    })),
    validations: [{ step: 2, loss: 0.1 + 0.2 }],
  },
})

describe('a checkpoint', () => {
  it('comes back bit for bit', async () => {
    const folder = memoryFolder()
    expect(await writeCheckpoint(checkpointAt(5), folder, 0)).toBe(checkpointFiles[0])
    const { checkpoint, nextSlot, refused } = await findCheckpoint(folder)
    expect(checkpoint).toEqual(checkpointAt(5))
    expect(Object.is(checkpoint!.state.parameters.get('b')!.data[0], -0)).toBe(true)
    expect([nextSlot, refused]).toEqual([1, []])
  })
  it('comes back without a best adapter and without history', async () => {
    const folder = memoryFolder()
    const { best: _best, ...state } = checkpointAt(0).state
    await writeCheckpoint({ fingerprint, state: { ...state, validations: [] } }, folder, 0)
    expect((await findCheckpoint(folder)).checkpoint!.state).toEqual({ ...state, validations: [] })
  })
  it('has arrays of its own, that training may change', async () => {
    const folder = memoryFolder()
    await writeCheckpoint(checkpointAt(5), folder, 0)
    const { checkpoint } = await findCheckpoint(folder)
    checkpoint!.state.parameters.get('b')!.data[0] = 77
    expect((await findCheckpoint(folder)).checkpoint).toEqual(checkpointAt(5))
  })
})

describe('findCheckpoint', () => {
  it('finds nothing in an empty folder', async () => {
    expect(await findCheckpoint(memoryFolder())).toEqual({ nextSlot: 0, refused: [] })
  })
  it('takes the newer of two, and lets the older be written over next', async () => {
    const folder = memoryFolder()
    for (const [turn, step] of [5, 10, 15].entries())
      await writeCheckpoint(checkpointAt(step), folder, turn)
    const { checkpoint, nextSlot } = await findCheckpoint(folder)
    expect(checkpoint!.state.step).toBe(15)
    expect(checkpointFiles[nextSlot % 2]).toBe(checkpointFiles[1])
  })
  it('takes the older where the newer is torn at any byte, and reports why', async () => {
    const folder = memoryFolder()
    await writeCheckpoint(checkpointAt(5), folder, 0)
    await writeCheckpoint(checkpointAt(10), folder, 1)
    const whole = folder.files.get(checkpointFiles[1])!
    const cuts = fc.nat({ max: whole.length - 1 })
    await fc.assert(
      fc.asyncProperty(cuts, fc.boolean(), async (at, zeros) => {
        const torn = zeros ? whole.map((byte, i) => (i < at ? byte : 0)) : whole.slice(0, at)
        folder.files.set(checkpointFiles[1], torn)
        // nothing but zeros behind the cut
        if (torn.length === whole.length && torn.every((byte, i) => byte === whole[i])) return
        const { checkpoint, nextSlot, refused } = await findCheckpoint(folder)
        expect(checkpoint!.state.step).toBe(5)
        expect(nextSlot % 2).toBe(1)
        expect(refused).toHaveLength(1)
      }),
    )
  })
  it('notices a single changed byte of the tensors', async () => {
    const folder = memoryFolder()
    await writeCheckpoint(checkpointAt(5), folder, 0)
    const bytes = folder.files.get(checkpointFiles[0])!
    bytes[bytes.length - 1]! ^= 1
    await expect(findCheckpoint(folder)).rejects.toThrow(FormatError)
    await expect(findCheckpoint(folder)).rejects.toThrow(
      /No valid checkpoint in memory.*\n.*checkpoint-a\.safetensors.*checksum/,
    )
  })
  it('refuses a safetensors file of another kind', async () => {
    const folder = memoryFolder()
    folder.files.set(checkpointFiles[0], new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, 123, 125]))
    await expect(findCheckpoint(folder)).rejects.toThrow('is not a checkpoint of a training run')
  })
})

describe('checkFingerprint', () => {
  it('names everything that differs, at once', () => {
    expect(() => checkFingerprint(fingerprint, { ...fingerprint })).not.toThrow()
    const differing = { seed: 4, packing: true, data: 'abc' }
    expect(() => checkFingerprint(fingerprint, differing)).toThrow(MismatchError)
    expect(() => checkFingerprint(fingerprint, differing)).toThrow(
      /seed: got 4, expected 3 as in the checkpoint\n.*data: got abc, expected nothing.*\n.*schedule: got nothing, expected cosine/,
    )
  })
})
