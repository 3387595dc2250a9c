import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { type RowKeeper, Scheduler, type SchedulerOptions } from './scheduler.ts'
import { createSequence, type Sequence } from './sequence.ts'

const BLOCK = 16

/** Counts rows and blocks; a row takes blocks for all positions it may write. */
class CountingKeeper implements RowKeeper<Sequence> {
  readonly held = new Map<Sequence, number>()
  readonly rows: number
  readonly blocks: number
  constructor(rows: number, blocks: number) {
    this.rows = rows
    this.blocks = blocks
  }
  get used(): number {
    return [...this.held.values()].reduce((sum, count) => sum + Math.ceil(count / BLOCK), 0)
  }
  open(sequence: Sequence): Promise<number | undefined> {
    const needed = Math.ceil(sequence.tokens.length / BLOCK)
    if (this.held.size >= this.rows || this.used + needed > this.blocks)
      return Promise.resolve(undefined)
    this.held.set(sequence, sequence.tokens.length)
    return Promise.resolve(0)
  }
  reserve(sequence: Sequence): boolean {
    const count = this.held.get(sequence)!
    const grows = count % BLOCK === 0
    if (grows && this.used + 1 > this.blocks) return false
    this.held.set(sequence, count + 1)
    return true
  }
  close(sequence: Sequence): void {
    if (!this.held.delete(sequence)) throw new Error('closed twice')
  }
}

const settings = (given: Partial<SchedulerOptions<Sequence>> = {}): SchedulerOptions<Sequence> => ({
  maxRows: 4,
  stepTokens: 64,
  maxWaitMs: 1000,
  nextPiece: ({ tokens, computed }) => Math.min(64, tokens.length - computed),
  ...given,
})

const createRequest = (id: number, expert: string, length: number, arrivedAt = 0): Sequence =>
  createSequence({ id, arrivedAt, expert, tokens: new Array<number>(length).fill(id) })

/** One step as the engine makes it: pieces are computed, everyone who writes gets a token. */
async function runStep(scheduler: Scheduler<Sequence>, now: number): Promise<Sequence[]> {
  const { pieces, writing } = await scheduler.plan(now)
  for (const { sequence, count } of pieces) {
    sequence.computed += count
    if (sequence.computed < sequence.tokens.length) continue
    sequence.state = 'writing'
    sequence.tokens.push(0)
  }
  for (const sequence of writing) {
    sequence.computed++
    sequence.tokens.push(0)
  }
  return writing.slice()
}

describe('the scheduler', () => {
  it('lets one join that was held, unless an older one has waited too long', async () => {
    const held = new Set([3, 4])
    const isHeld = ({ id }: Sequence): boolean => held.has(id)
    const scheduler = new Scheduler(settings({ maxRows: 2, isHeld }), new CountingKeeper(2, 100))
    const [first, second, old, copy, other] = [0, 1, 2, 3, 4].map((id) => createRequest(id, '', 8))
    for (const one of [first, second, old, copy, other]) scheduler.add(one!)
    await runStep(scheduler, 0)
    expect(scheduler.running).toEqual([first, second])
    expect(scheduler.canJoin(copy!, 0)).toBe(false) // no row
    scheduler.end(first!)
    expect(scheduler.canJoin(copy!, 0)).toBe(true)
    expect(scheduler.canJoin(copy!, 5000)).toBe(false) // `old` has waited longer
    scheduler.end(old!)
    expect(scheduler.canJoin(copy!, 5000)).toBe(true)
    await runStep(scheduler, 0)
    expect(scheduler.running).toEqual([second]) // held ones get no row by themselves
    scheduler.join(copy!)
    expect([copy!.state, copy!.computed]).toEqual(['writing', 8])
    expect(scheduler.running).toEqual([second, copy])
  })

  it('computes a long prompt in pieces while another row decodes', async () => {
    const scheduler = new Scheduler(settings(), new CountingKeeper(4, 100))
    const short = createRequest(0, '', 8)
    const long = createRequest(1, '', 200)
    scheduler.add(short)
    await runStep(scheduler, 0)
    scheduler.add(long)
    const seen: [number, string][] = []
    for (let i = 0; i < 4; i++) {
      await runStep(scheduler, 0)
      seen.push([long.computed, long.state])
    }
    expect(seen).toEqual([
      [64, 'reading'],
      [128, 'reading'],
      [192, 'reading'],
      [200, 'writing'],
    ])
    expect(short.tokens).toHaveLength(8 + 1 + 4)
  })

  it('gives the next free row to an expert that has none', async () => {
    const scheduler = new Scheduler(settings({ maxRows: 2 }), new CountingKeeper(2, 100))
    const crowd = Array.from({ length: 20 }, (_, id) => createRequest(id, 'a', 4))
    crowd.forEach((sequence) => scheduler.add(sequence))
    await runStep(scheduler, 0)
    const late = createRequest(20, 'b', 4)
    scheduler.add(late)
    scheduler.end(scheduler.running[0]!)
    await runStep(scheduler, 0)
    expect(scheduler.running).toContain(late)
  })

  it('lets no request overtake one that has waited too long', async () => {
    const keeper = new CountingKeeper(2, 10)
    const scheduler = new Scheduler(settings({ maxRows: 2, stepTokens: 512 }), keeper)
    const first = createRequest(0, 'a', 80)
    scheduler.add(first)
    await runStep(scheduler, 0)
    const large = createRequest(1, 'b', 120) // 8 blocks, of which 5 are free
    scheduler.add(large)
    const small = Array.from({ length: 3 }, (_, i) => createRequest(2 + i, `c${i}`, 4, 500))
    small.forEach((sequence) => scheduler.add(sequence))
    await runStep(scheduler, 500)
    expect(scheduler.running).toContain(small[0])
    scheduler.end(small[0]!)
    await runStep(scheduler, 1200)
    expect(scheduler.running).toEqual([first])
    scheduler.end(first)
    await runStep(scheduler, 1200)
    expect(scheduler.running[0]).toBe(large)
  })

  it('pre-empts the youngest when blocks run out, and continues it with its tokens', async () => {
    const keeper = new CountingKeeper(4, 4)
    const scheduler = new Scheduler(settings(), keeper)
    const [old, young] = [createRequest(0, '', 30), createRequest(1, '', 30)]
    scheduler.add(old)
    scheduler.add(young)
    for (let i = 0; i < 4; i++) await runStep(scheduler, 0)
    expect([old.state, young.state, young.preemptions]).toEqual(['writing', 'waiting', 1])
    expect(young.tokens.length).toBeGreaterThan(30)
    scheduler.end(old)
    const before = young.tokens.length
    await runStep(scheduler, 0)
    expect([young.state, young.tokens.length]).toEqual(['writing', before + 1])
  })

  it.each([1, 2, 3])('serves every request under random events, seed %i', async (seed) => {
    const draw = random(seed)
    const pick = (below: number): number => Math.floor(draw.uniform() * below)
    const keeper = new CountingKeeper(5, 40)
    const scheduler = new Scheduler(settings({ maxRows: 5 }), keeper)
    const open = new Set<Sequence>()
    const limits = new Map<Sequence, number>()
    let id = 0
    let now = 0
    const end = (sequence: Sequence): void => {
      scheduler.end(sequence)
      open.delete(sequence)
    }
    for (let event = 0; event < 4000; event++) {
      now += pick(100)
      const kind = pick(10)
      if (kind < 3 && open.size < 60) {
        const sequence = createRequest(id++, `e${pick(7)}`, 1 + pick(150), now)
        limits.set(sequence, sequence.tokens.length + 1 + pick(60))
        open.add(sequence)
        scheduler.add(sequence)
      } else if (kind === 3 && open.size > 0) end([...open][pick(open.size)]!)
      else {
        await runStep(scheduler, now)
        for (const sequence of [...scheduler.running])
          if (sequence.tokens.length >= limits.get(sequence)!) end(sequence)
      }
      expect(keeper.held.size).toBe(scheduler.running.length)
      expect(keeper.used).toBeLessThanOrEqual(40)
      expect(scheduler.waiting.length + scheduler.running.length).toBe(open.size)
    }
    for (let i = 0; i < 4000 && open.size > 0; i++) {
      await runStep(scheduler, now)
      for (const sequence of [...scheduler.running])
        if (sequence.tokens.length >= limits.get(sequence)!) end(sequence)
    }
    expect([open.size, keeper.used]).toEqual([0, 0])
  })
})
