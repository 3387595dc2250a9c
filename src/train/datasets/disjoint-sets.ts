// Disjoint sets of numbers (union-find): at first every number is its own set.

export interface DisjointSets {
  /** The smallest number of the set that this one is in. */
  find(member: number): number
  join(a: number, b: number): void
}

export function createDisjointSets(count: number): DisjointSets {
  const parents = Int32Array.from({ length: count }, (_, i) => i)
  const find = (member: number): number => {
    while (parents[member] !== member) member = parents[member] = parents[parents[member]!]!
    return member
  }
  return {
    find,
    join(a, b) {
      const one = find(a)
      const other = find(b)
      parents[Math.max(one, other)] = Math.min(one, other)
    },
  }
}
