// The contract of a metric: one file per metric in metrics/, one row in metric-table.ts. A metric
// scores one row at a time, independent of the model.

/**
 * What a metric reads of one row: the wanted answer, and the model's answer or the loss of the
 * wanted one.
 */
export interface MetricInput {
  /** The row as its file has it. */
  readonly row: Readonly<Record<string, unknown>>
  /** The row's right answer, up to the first stop text. */
  readonly wanted: string
  /** What the model wrote; empty for metrics that need no answers. */
  readonly answer: string
  /**
   * Cross-entropy of the wanted tokens, summed, in nats, and how many they are. Given to metrics of
   * the loss.
   */
  readonly loss?: { readonly sum: number; readonly tokens: number }
  /** All the answers there are, where the rows are labelled. */
  readonly labels?: readonly string[]
}

/** A row's part in the whole: the metric is the sum of values over the sum of weights. */
export interface ExampleScore {
  readonly value: number
  /** Default 1. */
  readonly weight?: number
}

export interface Metric {
  /** 'exact-match' */
  readonly name: string
  /** One line for lists. */
  readonly about: string
  readonly needs: 'answers' | 'loss'
  /** 'share': rows score 0 or 1. */
  readonly kind: 'share' | 'mean'
  readonly better: 'higher' | 'lower'
  /** Why the metric cannot judge this row, before any answer is written; undefined if it can. */
  findProblem?(
    judged: Omit<MetricInput, 'answer'>,
  ): string | undefined | Promise<string | undefined>
  score(judged: MetricInput): ExampleScore | Promise<ExampleScore>
  /** From the weighted mean to the figure that is shown. Default: the mean. */
  transform?(mean: number): number
  /** Releases the metric's resources. */
  dispose?(): void
}

export const scoreBinary = (fits: boolean): ExampleScore => ({ value: fits ? 1 : 0 })
