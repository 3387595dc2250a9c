// Applies random events to a memory and compares it with a simple model, in which each row is a
// list of tokens.

import { random, type Random } from '../../../base/random.ts'
import type { Tensor } from '../../../base/tensor.ts'
import { computeBlockKeys, computeTenantMark, type PrefixIdentity } from './block-keys.ts'
import { createKvMemory, type KvMemory, type KvMemoryOptions, type KvRow } from './kv-memory.ts'
import { createEntries, readRow, tinyShape as shape } from './testing.ts'

export const createIdentity = (expert: string, tenant = ''): PrefixIdentity => ({
  base: 'base',
  expert,
  tenant,
  accuracy: 'fast',
  pieceSize: 32,
})

export interface Known {
  readonly row: KvRow
  readonly who: { readonly expert: string; readonly tenant: string }
  /** Tokens in memory. */
  tokens: number[]
  ready: boolean
}

/** A memory and the simple model of its contents. */
export class Simulation {
  readonly memory: KvMemory
  readonly dice: Random
  readonly known = new Set<Known>()
  /** Differences found so far. */
  readonly problems: string[] = []
  readonly blocks: number
  /** Prompts that are used repeatedly. */
  readonly prompts: readonly (readonly number[])[]

  constructor(seed: number, options: Omit<KvMemoryOptions, 'shape'>) {
    this.dice = random(seed)
    this.blocks = options.blocks
    this.memory = createKvMemory({ ...options, shape })
    const start = this.draw(64)
    this.prompts = Array.from({ length: 6 }, () => [
      ...start.slice(0, 16 * this.dice.integer(5)),
      ...this.draw(1 + this.dice.integer(200)),
    ])
  }

  draw(count: number): number[] {
    return Array.from({ length: count }, () => this.dice.integer(1000))
  }

  pick(): Known | undefined {
    return [...this.known][this.dice.integer(this.known.size)]
  }

  open(): void {
    const prompt = this.prompts[this.dice.integer(this.prompts.length)]!
    const who = { expert: `e${this.dice.integer(2)}`, tenant: `t${this.dice.integer(2)}` }
    const keys = computeBlockKeys(createIdentity(who.expert, who.tenant), prompt)
    const cached = Math.min(this.memory.countCached(keys), Math.ceil(prompt.length / 16) - 1)
    const before = this.memory.statistics.blocks
    const row = this.memory.open('shared', { keys, cached, tokens: prompt.length })
    if (!row) {
      this.compare('blocks after a refused open', this.memory.statistics.blocks, before)
      return
    }
    this.compare('length after open', row.length, 16 * cached)
    this.known.add({ row, who, tokens: prompt.slice(0, row.length), ready: false })
    this.fill(prompt, [...this.known].at(-1)!)
  }

  fill(prompt: readonly number[], known: Known): void {
    const rest = prompt.slice(known.tokens.length)
    this.append([known], [rest], rest.length + this.dice.integer(3))
    if (this.dice.integer(3) > 0) this.publish(known)
  }

  /** Appends tokens to rows; the entries have room for `width` tokens. */
  append(items: readonly Known[], tokens: readonly (readonly number[])[], width: number): void {
    const outputs: ReadonlyMap<string, Tensor> = createEntries(
      tokens.map((list, i) => ({ tokens: list, who: items[i]!.who })),
      width,
    )
    this.memory.append(
      items.map(({ row }) => row),
      outputs,
      tokens.map((list) => list.length),
    )
    items.forEach((item, i) => item.tokens.push(...tokens[i]!))
  }

  decode(): void {
    const before = [...this.known].map((item) => item.row.room)
    const { blocks } = this.memory.statistics
    const ready = [...this.known].filter(({ ready: is }) => is)
    const served = ready.filter(({ row }) => {
      const done = this.memory.reserve(row, 1)
      if (!done)
        this.compare('free blocks where none is had', this.memory.statistics.blocks.free, 0)
      return done
    })
    if (served.length === 0)
      this.compare('blocks after refused reserves', this.memory.statistics.blocks, blocks)
    const kept = [...this.known].every(({ row }, i) => row.room >= before[i]!)
    this.compare('every row keeps its room', kept, true)
    const tokens = served.map(() => this.draw(1))
    if (served.length > 0) this.append(served, tokens, 1)
  }

  publish(item: Known): void {
    const { expert, tenant } = item.who
    this.memory.publish(item.row, computeBlockKeys(createIdentity(expert, tenant), item.tokens))
  }

  act(): void {
    const event = this.dice.integer(50)
    if (event === 49) return this.forget()
    const item = this.pick()
    const kind = event % 10
    if (kind < 2 || !item) this.open()
    else if (kind < 6) this.decode()
    else if (kind === 6) this.publish(item)
    else if (kind === 7) {
      this.memory.markReady(item.row)
      item.ready = true
    } else if (kind === 8) {
      const row = this.memory.fork(item.row)
      if (row) this.known.add({ row, who: item.who, tokens: [...item.tokens], ready: false })
    } else {
      this.memory.close(item.row)
      this.known.delete(item)
    }
  }

  forget(): void {
    const tenant = `t${this.dice.integer(2)}`
    void this.memory.forget(computeTenantMark(tenant)) // without saved prefixes, forgetting ends at once
    const cached = this.prompts.map((prompt) =>
      this.memory.countCached(computeBlockKeys(createIdentity('e0', tenant), prompt)),
    )
    this.compare('blocks of a forgotten tenant', Math.max(...cached), 0)
  }

  closeAll(): void {
    for (const { row } of this.known) this.memory.close(row)
    this.known.clear()
  }

  compare(what: string, got: unknown, expected: unknown): void {
    const texts = [JSON.stringify(got), JSON.stringify(expected)]
    if (texts[0] !== texts[1]) this.problems.push(`${what}: got ${texts[0]}, expected ${texts[1]}`)
  }

  /** Compares everything but contents. */
  checkForm(): void {
    const { used, cached, free, capacity } = this.memory.statistics.blocks
    this.compare('blocks in all', used + cached + free, capacity)
    this.compare('capacity', capacity, this.blocks)
    this.compare('rows', this.memory.banks.flatMap(({ rows }) => rows).length, this.known.size)
    for (const { rows, readyCount } of this.memory.banks) {
      const places = rows.map(({ index, ready }) => [index, ready])
      const expected = rows.map((_, i) => [i, i < readyCount])
      this.compare('places', places, expected)
    }
    for (const { row, tokens, ready } of this.known) {
      this.compare('the row is in its bank', row.bank.rows[row.index] === row, true)
      this.compare('ready', row.ready, ready)
      this.compare('length', row.length, tokens.length)
      const fits = tokens.length <= row.room && row.room <= row.bank.capacity
      this.compare(`${tokens.length} ≤ ${row.room} ≤ ${row.bank.capacity}`, fits, true)
    }
  }

  /** Compares what rows hold. */
  checkContents(items: Iterable<Known>): void {
    for (const { row, tokens, who } of items) {
      const problem = readRow(row, tokens, who)
      if (problem) this.problems.push(problem)
    }
  }
}
