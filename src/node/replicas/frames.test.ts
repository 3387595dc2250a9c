import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { GraftError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { decodeHeader, encodeHeader, joinNotes, splitNotes, viewFloatBytes } from './frames.ts'
import { serveMeetings, type ReplicaLink } from './relay.ts'

const header = { rank: 3, step: 70_000, noteBytes: 12, floats: 4_884_480, stop: true }

const encodeFrame = (
  rank: number,
  step: number,
  values: readonly number[],
  note: readonly number[] = [],
): Uint8Array => {
  const floats = Float32Array.from(values)
  const head = { rank, step, noteBytes: note.length, floats: floats.length, stop: false }
  return Buffer.concat([encodeHeader(head), Uint8Array.from(note), viewFloatBytes(floats)])
}

interface Answer {
  readonly step: number
  readonly notes: readonly number[][]
  readonly sums: readonly number[]
  readonly stop: boolean
}

/** What a replica would read from these bytes. */
function decodeAnswers(bytes: Uint8Array, size: number): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; at < bytes.length;) {
    const { step, noteBytes, floats, stop } = decodeHeader(bytes.subarray(at, at + 24))
    const notes = splitNotes(bytes.subarray(at + 24, at + 24 + noteBytes), size)
    const values = Uint8Array.from(
      bytes.subarray(at + 24 + noteBytes, at + 24 + noteBytes + 4 * floats),
    )
    const sums = [...new Float32Array(values.buffer, 0, floats)]
    answers.push({ step, notes: notes.map((note) => [...note]), sums, stop })
    at += 24 + noteBytes + 4 * floats
  }
  return answers
}

/** Runs the relay over what each replica sends, cut into chunks of these sizes. */
async function relayBytes(
  sent: readonly Uint8Array[],
  options: Parameters<typeof serveMeetings>[1] & { chunk?: number } = {},
): Promise<Answer[][]> {
  const { chunk = 7, ...relay } = options
  const links: ReplicaLink[] = sent.map(() => ({ from: new PassThrough(), to: new PassThrough() }))
  const answers = links.map(() => [] as Uint8Array[])
  for (const [rank, { to }] of links.entries())
    (to as PassThrough).on('data', (data: Uint8Array) => answers[rank]!.push(Uint8Array.from(data)))
  const run = serveMeetings(links, relay)
  for (const [rank, bytes] of sent.entries()) {
    const from = links[rank]!.from as PassThrough
    for (let at = 0; at < bytes.length; at += chunk) from.write(bytes.subarray(at, at + chunk))
    from.end()
  }
  await run
  return answers.map((chunks) => decodeAnswers(Buffer.concat(chunks), sent.length))
}

/** Whether these are two notes, or refused as a GraftError. */
function splitSafely(bytes: Uint8Array): boolean {
  try {
    return splitNotes(bytes, 2).length === 2
  } catch (error) {
    return GraftError.isInstance(error)
  }
}

describe('frames', () => {
  it('come back as they were', () => {
    expect(decodeHeader(encodeHeader(header))).toEqual(header)
    const notes = [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(9)]
    expect(splitNotes(joinNotes(notes), 3).map((note) => [...note])).toEqual([[1, 2, 3], [], [9]])
  })
  it('refuse another program, another version, a short header and sizes beyond reason', () => {
    const change = (at: number, ...bytes: number[]): Uint8Array => {
      const changed = encodeHeader(header)
      changed.set(bytes, at)
      return changed
    }
    expect(() => decodeHeader(change(0, 1))).toThrow('begins with 0x54465201')
    expect(() => decodeHeader(change(4, 2))).toThrow('is of version 2, expected 1')
    expect(() => decodeHeader(change(15, 255))).toThrow('is too much')
    expect(() => decodeHeader(change(20, 2))).toThrow('has the flags 2')
    expect(() => decodeHeader(encodeHeader(header).subarray(0, 5))).toThrow('has 5 bytes')
  })
  it('end in a GraftError or in the same meaning when any byte is changed or cut', async () => {
    const { uniform } = random(7)
    const good = [encodeFrame(0, 1, [1, 2], [5]), encodeFrame(1, 1, [3, 4], [6, 7])]
    for (let round = 0; round < 300; round++) {
      const bytes = good[1]!.slice()
      const at = Math.floor(uniform() * bytes.length)
      bytes[at] = Math.floor(uniform() * 256)
      const sent = [good[0]!, uniform() < 0.3 ? bytes.subarray(0, at) : bytes]
      const outcome = await relayBytes(sent).then(
        ([first]) => first![0]!.step === 1 && first![0]!.notes[0]![0] === 5,
        (error: unknown) => GraftError.isInstance(error),
      )
      expect(outcome, `round ${round}`).toBe(true)
    }
  })
  it('end in a GraftError when the notes of an answer are changed or cut', () => {
    const { uniform } = random(11)
    const good = joinNotes([Uint8Array.of(1, 2, 3), Uint8Array.of(4)])
    for (let round = 0; round < 500; round++) {
      const bytes = good.slice()
      bytes[Math.floor(uniform() * bytes.length)] = Math.floor(uniform() * 256)
      const cut = bytes.subarray(0, Math.floor(uniform() * (bytes.length + 1)))
      expect(splitSafely(cut), `round ${round}`).toBe(true)
    }
  })
})

describe('serveMeetings', () => {
  it('answers every replica with the sums and all notes, meeting after meeting', async () => {
    const sent = [0, 1].map((rank) =>
      Buffer.concat([
        encodeFrame(rank, 1, [rank + 1, 10], [rank]),
        encodeFrame(rank, 2, rank === 0 ? [] : [5], []),
        encodeFrame(rank, 3, [], [1, 2, 3]),
      ]),
    )
    const answers = await relayBytes(sent)
    expect(answers[0]).toEqual([
      { step: 1, notes: [[0], [1]], sums: [3, 20], stop: false },
      { step: 2, notes: [[], []], sums: [5], stop: false },
      {
        step: 3,
        notes: [
          [1, 2, 3],
          [1, 2, 3],
        ],
        sums: [],
        stop: false,
      },
    ])
    expect(answers[1]).toEqual(answers[0])
  })
  it('asks all to stop once its signal says so', async () => {
    const sent = [0, 1].map((rank) => encodeFrame(rank, 1, [1]))
    const [answers] = await relayBytes(sent, { signal: AbortSignal.abort() })
    expect(answers![0]!.stop).toBe(true)
  })
  it('names the slowest replica', async () => {
    const times = [100, 350, 400]
    const reports: object[] = []
    await relayBytes(
      [0, 1].map((rank) => encodeFrame(rank, 9, [1])),
      { now: () => times.shift() ?? 400, onExchange: (report) => reports.push(report) },
    )
    expect(reports).toEqual([{ step: 9, ms: 50, waitedMs: 250, slowest: 1 }])
  })
  it.each([
    ['ends before the others', [encodeFrame(0, 1, [1]), new Uint8Array(0)], 'Replica 1 ended'],
    [
      'ends within a frame',
      [encodeFrame(0, 1, [1]), encodeFrame(1, 1, [1]).subarray(0, 25)],
      'within a frame',
    ],
    ['is at another step', [encodeFrame(0, 1, [1]), encodeFrame(1, 8, [1])], 'at step 8, expected'],
    ['brings another length', [encodeFrame(0, 1, [1]), encodeFrame(1, 1, [1, 2])], 'sent 2'],
    ['says another rank', [encodeFrame(0, 1, [1]), encodeFrame(0, 1, [1])], 'sent rank 0'],
  ])('rejects where a replica %s', async (_what, sent, message) => {
    await expect(relayBytes(sent)).rejects.toThrow(message)
  })
})
