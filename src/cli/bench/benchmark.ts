// The contract of a benchmark: one file per benchmark, one row in benchmark-table.ts. Our side
// always runs; the reference runs where it is installed.

export interface MeasuredValues {
  readonly median: number
  readonly least: number
  readonly most: number
}

export interface BenchmarkRow {
  readonly name: string
  /** 'tokens/s', 'seconds', … */
  readonly unit: string
  /** Whether more is better. */
  readonly higherIsBetter: boolean
  readonly ours: MeasuredValues
  readonly reference?: MeasuredValues & { readonly name: string }
  /**
   * How many times better we are: ours to reference, or the other way round where less is better.
   */
  readonly ratio?: number
  /** The ratio aimed at. */
  readonly goal?: number
  /** Further facts: peak memory, fill rate, versions. */
  readonly note?: string
  /** Further numbers by name, for --json. */
  readonly figures?: Readonly<Record<string, number | readonly number[]>>
}

export interface BenchmarkContext {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** One line about what is being done now. */
  progress(text: string): void
}

export interface Benchmark {
  readonly name: string
  readonly summary: string
  /** What GRAFT_BENCH_… variables or packages its reference needs. */
  readonly needs: string
  run(context: BenchmarkContext): AsyncIterable<BenchmarkRow>
}

export function summarizeValues(values: readonly number[]): MeasuredValues {
  const sorted = [...values].sort((a, b) => a - b)
  return {
    median: sorted[sorted.length >> 1]!,
    least: sorted[0]!,
    most: sorted[sorted.length - 1]!,
  }
}

/** A row with its ratio worked out. */
export function toBenchmarkRow(
  values: Omit<BenchmarkRow, 'ratio' | 'reference' | 'ours'> & {
    ours: readonly number[]
    reference?: { name: string; values: readonly number[] } | undefined
  },
): BenchmarkRow {
  const { ours, reference, ...rest } = values
  const own = summarizeValues(ours)
  if (!reference || reference.values.length === 0) return { ...rest, ours: own }
  const other = summarizeValues(reference.values)
  const ratio = rest.higherIsBetter ? own.median / other.median : other.median / own.median
  return { ...rest, ours: own, reference: { ...other, name: reference.name }, ratio }
}
