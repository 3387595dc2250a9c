import { describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { addValues, createLocalExchanges, mergeContributions, sumByTree } from './exchange.ts'

const draw = (seed: number, length: number): Float32Array => {
  const { uniform } = random(seed)
  return Float32Array.from({ length }, () => uniform() * 10 ** (8 * uniform() - 4))
}
const bits = (values: Float32Array | undefined): number[] => [
  ...new Uint32Array(values!.slice().buffer),
]
const note = new Uint8Array(0)

describe('sumByTree', () => {
  it('adds neighbours, then neighbours of these', () => {
    const parts = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    const sum = sumByTree<string>([...parts], (left, right) => `(${left}+${right})`)
    expect(sum).toBe('(((a+b)+(c+d))+((e+f)+(g+h)))')
  })
  it('passes over what is missing, also where a whole half is', () => {
    const add = (left: string, right: string): string => `(${left}+${right})`
    expect(sumByTree(['a', undefined, undefined, 'd'], add)).toBe('(a+d)')
    expect(sumByTree([undefined, undefined, 'c', undefined], add)).toBe('c')
    expect(sumByTree([undefined, undefined], add)).toBeUndefined()
  })
  it('gives the same bits for 8 places held by 1, 2, 4 or 8 replicas', () => {
    const shards = Array.from({ length: 8 }, (_, shard) => draw(shard, 100))
    const copies = (): Float32Array[] => shards.map((shard) => shard.slice())
    const expected = bits(sumByTree(copies(), addValues))
    for (const size of [2, 4, 8]) {
      const own = 8 / size
      const parts = copies()
      const replicas = Array.from({ length: size }, (_, rank) =>
        sumByTree(parts.slice(rank * own, (rank + 1) * own), addValues),
      )
      expect(bits(sumByTree(replicas, addValues))).toEqual(expected)
    }
    const inTurn = shards
      .map((shard) => shard.slice())
      .reduce<Float32Array>(addValues, new Float32Array(100))
    expect(bits(inTurn)).not.toEqual(expected)
  })
  it('keeps a negative zero beside a missing part', () => {
    const sum = sumByTree([undefined, Float32Array.of(-0)], addValues)
    expect(Object.is(sum![0], -0)).toBe(true)
  })
})

describe('mergeContributions', () => {
  it('refuses another step and another length, naming both', () => {
    const values = new Float32Array(2)
    expect(() =>
      mergeContributions([
        { step: 4, note, values },
        { step: 5, note, values },
      ]),
    ).toThrow('Replica 1 is at step 5, expected step 4, where replica 0 is.')
    expect(() =>
      mergeContributions([
        { step: 4, note, values },
        { step: 4, note, values: new Float32Array(3) },
      ]),
    ).toThrow('Replica 1 sent 3 values for step 4, expected 2.')
  })
})

describe('createLocalExchanges', () => {
  it('gives every replica the sums, the notes by rank and the request to stop', async () => {
    const exchanges = createLocalExchanges(2)
    const [first, second] = await Promise.all(
      exchanges.map((exchange, rank) =>
        exchange.meet({
          step: 1,
          note: Uint8Array.of(rank),
          values: Float32Array.of(rank + 1, 10),
          stop: rank === 1,
        }),
      ),
    )
    expect([...first!.sums!]).toEqual([3, 20])
    expect(second).toEqual(first)
    expect(second!.sums).not.toBe(first!.sums)
    expect(first!.notes.map(([byte]) => byte)).toEqual([0, 1])
    expect(first!.stop).toBe(true)
  })
  it('gives sums to a replica that brought none', async () => {
    const [one, other] = createLocalExchanges(2)
    const meetings = await Promise.all([
      one!.meet({ step: 1, note, values: Float32Array.of(7) }),
      other!.meet({ step: 1, note, values: undefined }),
    ])
    expect(meetings.map(({ sums }) => [...sums!])).toEqual([[7], [7]])
  })
  it('rejects for all where one is at another step', async () => {
    const [one, other] = createLocalExchanges(2)
    const met = [
      one!.meet({ step: 1, note, values: undefined }),
      other!.meet({ step: 2, note, values: undefined }),
    ]
    for (const meeting of met) await expect(meeting).rejects.toThrow('step 2, expected step 1')
  })
})
