// Chooses how many slots a bank's rows have, and which rows share a bank. Attention reads every
// slot, and every bank is a separate decode call: too few banks waste slots, too many waste calls.
// Independent of arrays.

/** One more decode call takes about as long as attention over this many slots. */
export const CALL_SLOTS = 4000

/**
 * 64, 128, 192, 256, 384, 512; then multiples of 256, from 2,048 on in steps of about an eighth.
 */
export function chooseCapacity(positions: number): number {
  if (positions <= 256) return Math.max(1, Math.ceil(positions / 64)) * 64
  if (positions <= 512) return Math.ceil(positions / 128) * 128
  const step = Math.max(256, 2 ** Math.floor(Math.log2(positions - 1) - 3))
  return Math.ceil(positions / step) * step
}

/** Capacity → the number of rows that have or need it. */
export type RowCounts = ReadonlyMap<number, number>

export interface BankPlan {
  /** Capacity a row needs → capacity of the bank it belongs in. */
  readonly capacities: ReadonlyMap<number, number>
  /** The cost of a step in slots of attention, calls included. */
  readonly cost: number
}

/** What a step costs with these banks. */
export function computeCost(banks: RowCounts): number {
  let cost = 0
  for (const [capacity, rows] of banks) cost += CALL_SLOTS + capacity * rows
  return cost
}

/**
 * The cheapest way to share banks. In some best plan each bank holds rows that are adjacent in the
 * order of need, so best[i] = min over j < i of best[j] + call + rows(j … i) · need(i − 1).
 */
export function planBanks(needs: RowCounts): BankPlan {
  const ordered = [...needs].toSorted(([a], [b]) => a - b)
  const best = [0]
  const starts = [0]
  ordered.forEach(([capacity], last) => {
    let rows = 0
    let cost = Infinity
    let start = last
    for (let first = last; first >= 0; first--) {
      rows += ordered[first]![1]
      const candidate = best[first]! + CALL_SLOTS + rows * capacity
      if (candidate >= cost) continue
      cost = candidate
      start = first
    }
    best.push(cost)
    starts.push(start)
  })
  const capacities = new Map<number, number>()
  for (let end = ordered.length; end > 0; end = starts[end]!) {
    const [capacity] = ordered[end - 1]!
    for (let i = starts[end]!; i < end; i++) capacities.set(ordered[i]![0], capacity)
  }
  return { capacities, cost: best.at(-1)! }
}
