import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  ConflictError,
  FormatError,
  NotFoundError,
  NumericError,
  OptionError,
  StorageError,
} from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { formatItemName, listSequences } from './checkpoint-chain.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint-file.ts'
import { UserCheckpoints } from './checkpoints.ts'
import { createMemoryStore } from './memory-store.ts'
import { nudge, createTestState } from './testing.ts'
import type { UserStore } from './user-store.ts'

let store: UserStore
let checkpoints: UserCheckpoints
beforeEach(() => {
  store = createMemoryStore()
  checkpoints = new UserCheckpoints(store)
})

/** Changes the bytes of a checkpoint's file where it lies. */
async function damage(sequence: number, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const { bytes } = (await store.get('ada', formatItemName(sequence)))!
  await store.put('ada', formatItemName(sequence), change(bytes))
}
const flip = (at: number) => (bytes: Uint8Array) =>
  bytes.with(at < 0 ? bytes.length + at : at, bytes.at(at)! ^ 1)
const numbers = async (): Promise<number[]> =>
  (await listSequences(store, 'ada')).map(({ sequence }) => sequence)

describe('a checkpoint', () => {
  it('comes back bit for bit, with time and form, by another reader', async () => {
    const state = createTestState(1)
    expect(await checkpoints.write('ada', state, 1234.5)).toMatchObject({
      sequence: 1,
      time: 1234.5,
      form: 'f32',
      whole: true,
    })
    const opened = await new UserCheckpoints(store).open('ada')
    expect(opened).toEqual({ state, sequence: 1, time: 1234.5, form: 'f32', refused: [] })
    expect(await checkpoints.open('bob')).toBeUndefined()
  })
  it('holds the state of the moment of the call, whatever happens to it while it is written', async () => {
    const state = createTestState(1)
    const writing = checkpoints.write('ada', state, 0)
    nudge(state, 'head.A')
    state.header['samples'] = 99
    await writing
    expect((await checkpoints.open('ada'))!.state).toEqual(createTestState(1))
  })
  it('gives arrays that the holder may change', async () => {
    await checkpoints.write('ada', createTestState(1), 0)
    nudge((await checkpoints.open('ada'))!.state, 'head.A')
    expect((await checkpoints.open('ada'))!.state).toEqual(createTestState(1))
  })
})

describe('changes', () => {
  it('take only the blocks that changed, and come back bit for bit through the whole chain', async () => {
    const state = createTestState(1, 8192) // 256 KB: 65 blocks and more
    const whole = await checkpoints.write('ada', state, 0)
    for (let step = 1; step <= 8; step++) {
      nudge(state, 'head.B', step * 700)
      state.header['samples'] = step
      const info = await checkpoints.write('ada', state, step)
      expect(info).toMatchObject({ sequence: step + 1, whole: false })
      expect(info.sizeBytes).toBeLessThan(whole.sizeBytes / 30)
    }
    expect((await new UserCheckpoints(store).open('ada'))!.state).toEqual(state)
    nudge(state, 'head.A')
    // after eight files of changes
    expect(await checkpoints.write('ada', state, 9)).toMatchObject({ sequence: 10, whole: true })
  })
  it('are nothing where nothing changed; a header alone is a change', async () => {
    const state = createTestState(1)
    const first = await checkpoints.write('ada', state, 0)
    expect(await checkpoints.write('ada', state, 5)).toEqual(first)
    expect(await numbers()).toEqual([1])
    state.header['samples'] = 7
    expect(await checkpoints.write('ada', state, 6)).toMatchObject({ sequence: 2, whole: false })
    expect((await checkpoints.open('ada'))!.state.header['samples']).toBe(7)
  })
  it('follow tensors that come, grow, shrink and go', async () => {
    const sizes = fc.array(
      fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 9000 })),
      { minLength: 1, maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(sizes, async (steps) => {
        const own = createMemoryStore()
        const writer = new UserCheckpoints(own)
        const tensors = new Map<string, ReturnType<typeof f32>>()
        for (const [step, [name, size]] of steps.entries()) {
          if (size < 500) tensors.delete(name)
          else
            tensors.set(
              name,
              f32(
                [size],
                Float32Array.from({ length: size }, (_, i) => i % 1024 || step),
              ),
            )
          await writer.write('ada', { tensors, header: { step } }, step)
          expect((await new UserCheckpoints(own).open('ada'))!.state).toEqual({
            tensors: new Map([...tensors].sort()),
            header: { step },
          })
        }
      }),
      { numRuns: 10 },
    )
  })
  it('continue from what was opened', async () => {
    const state = createTestState(1, 8192)
    await checkpoints.write('ada', state, 0)
    const other = new UserCheckpoints(store)
    const opened = (await other.open('ada'))!.state
    nudge(opened, 'head.A')
    expect(await other.write('ada', opened, 1)).toMatchObject({ sequence: 2, whole: false })
    expect((await checkpoints.open('ada'))!.state).toEqual(opened)
  })
})

describe('a file that is not what was written', () => {
  it('is refused wherever it was cut or changed, and the one before is used', async () => {
    await checkpoints.write('ada', createTestState(1), 1)
    await checkpoints.write('ada', createTestState(2), 2)
    const whole = (await store.get('ada', formatItemName(2)))!.bytes
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: whole.length - 1 }),
        fc.constantFrom('cut', 'zeros', 'flip'),
        async (at, how) => {
          const bad =
            how === 'cut'
              ? whole.slice(0, at)
              : how === 'flip'
                ? flip(at)(whole)
                : whole.map((byte, i) => (i < at ? byte : 0))
          await store.put('ada', formatItemName(2), bad)
          const opened = (await new UserCheckpoints(store).open('ada'))!
          expect(opened.state).toEqual(createTestState(1))
          expect(opened.refused).toEqual([
            { sequence: 2, reason: expect.stringMatching(/^memory: checkpoint 2: /) as string },
          ])
        },
      ),
    )
  })
  it('spoils what was laid over it, not what came before', async () => {
    const state = createTestState(1, 8192)
    for (let step = 0; step < 4; step++) {
      nudge(state, 'head.A')
      await checkpoints.write('ada', state, step)
    }
    await damage(3, flip(-40))
    const opened = (await checkpoints.open('ada'))!
    expect(opened.sequence).toBe(2)
    expect(opened.refused.map(({ sequence }) => sequence)).toEqual([4, 3])
    // nothing changed since
    expect(await checkpoints.write('ada', opened.state, 9)).toMatchObject({ sequence: 2 })
    nudge(opened.state, 'head.A')
    expect(await checkpoints.write('ada', opened.state, 9)).toMatchObject({ sequence: 5 })
    expect((await checkpoints.open('ada'))!.state).toEqual(opened.state)
  })
  it('is noticed where it is a sound file of another history', async () => {
    const state = createTestState(1, 8192)
    await checkpoints.write('ada', state, 0)
    nudge(state, 'head.A')
    await checkpoints.write('ada', state, 1)
    const strange = new UserCheckpoints(createMemoryStore())
    await strange.write('ada', createTestState(2, 8192), 0)
    await store.put(
      'ada',
      formatItemName(1),
      (await strange.store.get('ada', formatItemName(1)))!.bytes,
    )
    const { sequence, refused } = (await checkpoints.open('ada'))!
    expect([sequence, refused[0]!.reason]).toEqual([1, expect.stringContaining('hashes differ')])
  })
  it('is refused where a newer version wrote it, with the reason', async () => {
    await checkpoints.write('ada', createTestState(1), 0)
    await checkpoints.write('ada', createTestState(2), 1)
    await damage(2, (bytes) => bytes.with(8, 2))
    const { state, refused } = (await checkpoints.open('ada'))!
    expect(state).toEqual(createTestState(1))
    expect(refused[0]!.reason).toMatch(/newer version \(layout 2, this one reads up to 1\)/)
  })
  it('is refused where its dimensions are others, all of them named', async () => {
    await checkpoints.write('ada', createTestState(1), 0)
    await checkpoints.write('ada', createTestState(2, 32), 1)
    const shapes = new Map([
      ['head.A', [2, 64]],
      ['head.B', [64, 2]],
      ['bias', [3]],
    ])
    const { state, refused } = (await checkpoints.open('ada', shapes))!
    expect(state).toEqual(createTestState(1))
    expect(refused[0]!.reason).toMatch(
      /2 mismatches\):\n.*head\.A: got \[2, 32\], expected \[2, 64\]\n.*head\.B/,
    )
  })
  it('leaves an error that lists all reasons where none is left', async () => {
    await checkpoints.write('ada', createTestState(1), 0)
    await damage(1, flip(100))
    await expect(checkpoints.open('ada')).rejects.toThrow(FormatError)
    await expect(checkpoints.open('ada')).rejects.toThrow(
      /user "ada" has checkpoints, and none can be used:\n {2}memory: checkpoint 1: its bytes/,
    )
  })
  it('is refused if a valid hash covers a wrong header', async () => {
    await checkpoints.write('ada', createTestState(1), 0)
    const { header } = await decodeCheckpoint(
      'x',
      (await store.get('ada', formatItemName(1)))!.bytes,
    )
    const image = new Uint8Array(header.imageBytes)
    const lies = [
      { imageBytes: 2 ** 52 },
      { blocks: [] },
      { blocks: [0, 0] },
      { parent: { sequence: 1, hash: header.imageHash }, blocks: [] },
      {
        places: [{ name: 'A', shape: [1e6], stored: 'f32', offset: 0 }],
        imageHash: '0'.repeat(64),
      },
      { header: [] },
      { time: null },
    ]
    for (const lie of lies) {
      const { file } = await encodeCheckpoint({ ...header, blocks: [0], ...lie } as never, image)
      await store.put('ada', formatItemName(1), file)
      await expect(checkpoints.open('ada')).rejects.toThrow(FormatError)
    }
  })
})

describe('the history', () => {
  it('is listed with what is broken in it, and every version can be read and restored', async () => {
    const state = createTestState(1, 8192)
    for (let step = 0; step < 4; step++) {
      state.header['samples'] = step
      nudge(state, 'head.A')
      await checkpoints.write('ada', state, 100 + step)
    }
    expect(
      (await checkpoints.list('ada')).map(
        (info) => 'time' in info && [info.sequence, info.time, info.whole],
      ),
    ).toEqual([
      [1, 100, true],
      [2, 101, false],
      [3, 102, false],
      [4, 103, false],
    ])
    const second = await checkpoints.read('ada', 2)
    expect(second.header['samples']).toBe(1)
    expect(await checkpoints.restore('ada', 2, 200)).toEqual(second)
    const opened = (await new UserCheckpoints(store).open('ada'))!
    expect([opened.sequence, opened.time, opened.state]).toEqual([5, 200, second])
    // what was restored over is still there
    expect((await checkpoints.read('ada', 4)).header['samples']).toBe(3)
    await damage(4, flip(50))
    expect((await checkpoints.list('ada'))[3]).toMatchObject({
      sequence: 4,
      reason: expect.stringContaining('changed') as string,
    })
    await expect(checkpoints.read('ada', 9)).rejects.toThrow(NotFoundError)
  })
  it('keeps the requested number, and their parents', async () => {
    const keeping = new UserCheckpoints(store, { keep: 3, deltas: 2 })
    const state = createTestState(1, 8192)
    const seen: number[] = []
    for (let step = 1; step <= 12; step++) {
      nudge(state, 'head.A')
      await keeping.write('ada', state, step)
      const left = await numbers()
      seen.push(left.length)
      expect(left.length).toBeGreaterThanOrEqual(Math.min(step, 3))
      for (const sequence of left) await keeping.read('ada', sequence)
    }
    expect(Math.max(...seen)).toBeLessThanOrEqual(3 + 2 * 2)
    expect((await numbers())[0]).toBeGreaterThan(1)
  })
  it('takes only options that there are', () => {
    for (const options of [
      { keep: 0 },
      { keep: 1.5 },
      { deltas: -1 },
      { deltas: 64 },
      { form: 'f8' as 'f16' },
    ])
      expect(() => new UserCheckpoints(store, options)).toThrow(OptionError)
  })
})

describe('two writers of one user', () => {
  it('lose nothing: the later one gets an error, and may open again or write on top', async () => {
    const left = new UserCheckpoints(store)
    const right = new UserCheckpoints(store)
    await left.write('ada', createTestState(1), 1)
    const theirs = (await right.open('ada'))!.state
    await left.write('ada', createTestState(2), 2)
    nudge(theirs, 'bias')
    await expect(right.write('ada', theirs, 3)).rejects.toThrow(ConflictError)
    await expect(right.write('ada', theirs, 3)).rejects.toThrow(
      /is at checkpoint 2, and this writer knows checkpoint 1/,
    )
    expect((await left.open('ada'))!.state).toEqual(createTestState(2))
    expect(await right.write('ada', theirs, 4, { onTop: true })).toMatchObject({
      sequence: 3,
      whole: true,
    })
    expect(await checkpoints.read('ada', 2)).toEqual(createTestState(2))
    await expect(left.write('ada', createTestState(5), 5)).rejects.toThrow(ConflictError)
    await left.open('ada')
    expect(await left.write('ada', createTestState(5), 5)).toMatchObject({ sequence: 4 })
  })
  it('get an error also if they write at the same moment, and without a read before', async () => {
    const left = new UserCheckpoints(store)
    const right = new UserCheckpoints(store)
    const outcomes = await Promise.allSettled([
      left.write('ada', createTestState(1), 1),
      right.write('ada', createTestState(2), 1),
    ])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expect(checkpoints.write('ada', createTestState(3), 2)).rejects.toThrow(
      'this writer knows none of them',
    )
  })
  it('get an error if the user was forgotten meanwhile: no delta is written against a removed parent', async () => {
    const state = createTestState(1, 8192)
    await checkpoints.write('ada', state, 1)
    await store.forget('ada')
    nudge(state, 'head.A')
    await expect(checkpoints.write('ada', state, 2)).rejects.toThrow('is at checkpoint none')
    expect(await checkpoints.write('ada', state, 2, { onTop: true })).toMatchObject({ whole: true })
    expect((await checkpoints.open('ada'))!.state).toEqual(state)
  })
})

describe('a write that fails', () => {
  it('leaves the last one in use, and the next write makes up for it', async () => {
    const state = createTestState(1, 256)
    let full = false
    const put: UserStore['put'] = async (...args) => {
      if (full) throw new StorageError('full')
      return store.put(...args)
    }
    const failing = new UserCheckpoints({ ...store, put })
    await failing.write('ada', state, 1)
    nudge(state, 'bias')
    full = true
    await expect(failing.write('ada', state, 2)).rejects.toThrow(StorageError)
    expect((await failing.open('ada'))!.state).toEqual(createTestState(1, 256))
    full = false
    await failing.write('ada', state, 3)
    expect((await failing.open('ada'))!.state).toEqual(state)
  })
  it('is refused for NaN with nothing written', async () => {
    const state = createTestState(1)
    nudge(state, 'head.B', 3, NaN)
    await expect(checkpoints.write('ada', state, 1)).rejects.toThrow(NumericError)
    expect(await store.users()).toEqual([])
  })
})
