// Counters, gauges and histograms in Prometheus' text format (0.0.4). Own code, because prom-client
// needs Node (cluster, perf_hooks), and this runs wherever a Request becomes a Response.

import { assertInternal } from '../../base/errors.ts'

export type Labels = Readonly<Record<string, string>>

export interface MetricInfo {
  /** A counter's ends with `_total`. */
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
}

export interface HistogramInfo extends MetricInfo {
  /** Upper bounds, ascending, without infinity. */
  readonly bounds: readonly number[]
}

interface Series<Value> {
  readonly labels: Labels
  value: Value
}

/** Lines of one metric. */
interface Metric {
  readonly name: string
  format(): string[]
  remove(label: string, value: string): void
}

const namePattern = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/

/** Escapes backslash, quote and line feed, as the format requires. */
const escapeLabel = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

function formatLabels(labels: Labels, more: Labels = {}): string {
  const pairs = [...Object.entries(labels), ...Object.entries(more)].map(
    ([name, value]) => `${name}="${escapeLabel(value)}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

const formatNumber = (value: number): string =>
  value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value)

/** The series of one metric by their labels. */
class SeriesTable<Value> {
  readonly #info: MetricInfo
  readonly #create: () => Value
  readonly #series = new Map<string, Series<Value>>()

  constructor(info: MetricInfo, create: () => Value) {
    assertInternal(namePattern.test(info.name), `metric name ${info.name}`)
    this.#info = info
    this.#create = create
    if ((info.labels ?? []).length === 0) this.get({}) // shown with 0 before anything happened
  }

  get(given: Labels): Series<Value> {
    const names = this.#info.labels ?? []
    const key = JSON.stringify(names.map((name) => given[name]))
    const found = this.#series.get(key)
    if (found !== undefined) return found
    const labels = Object.fromEntries(names.map((name) => [name, given[name] ?? '']))
    const series = { labels, value: this.#create() }
    this.#series.set(key, series)
    return series
  }

  values(): Iterable<Series<Value>> {
    return this.#series.values()
  }

  clear(): void {
    this.#series.clear()
  }

  remove(label: string, value: string): void {
    for (const [key, { labels }] of this.#series)
      if (labels[label] === value) this.#series.delete(key)
  }

  format(type: string, write: (series: Series<Value>) => string[]): string[] {
    const { name, help } = this.#info
    const lines = [...this.#series.values()].flatMap(write)
    return lines.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines]
  }
}

/** A value that only grows. */
export class Counter implements Metric {
  readonly name: string
  readonly #table: SeriesTable<number>

  constructor(info: MetricInfo) {
    assertInternal(info.name.endsWith('_total'), `counter name ${info.name}`)
    this.name = info.name
    this.#table = new SeriesTable(info, () => 0)
  }

  add(by = 1, labels: Labels = {}): void {
    this.#table.get(labels).value += by
  }

  /** For counts that are held elsewhere. */
  set(value: number, labels: Labels = {}): void {
    this.#table.get(labels).value = value
  }

  read(labels: Labels = {}): number {
    return this.#table.get(labels).value
  }

  remove(label: string, value: string): void {
    this.#table.remove(label, value)
  }

  format(): string[] {
    return this.#table.format('counter', ({ labels, value }) => [
      `${this.name}${formatLabels(labels)} ${formatNumber(value)}`,
    ])
  }
}

/** A value that goes up and down. */
export class Gauge implements Metric {
  readonly name: string
  readonly #table: SeriesTable<number>

  constructor(info: MetricInfo) {
    this.name = info.name
    this.#table = new SeriesTable(info, () => 0)
  }

  set(value: number, labels: Labels = {}): void {
    this.#table.get(labels).value = value
  }

  /** Removes all series, before the current ones are set. */
  clear(): void {
    this.#table.clear()
  }

  remove(label: string, value: string): void {
    this.#table.remove(label, value)
  }

  format(): string[] {
    return this.#table.format('gauge', ({ labels, value }) => [
      `${this.name}${formatLabels(labels)} ${formatNumber(value)}`,
    ])
  }
}

interface Distribution {
  readonly counts: number[]
  sum: number
  count: number
}

/** Counts of values up to each bound. */
export class Histogram implements Metric {
  readonly name: string
  readonly #bounds: readonly number[]
  readonly #table: SeriesTable<Distribution>

  constructor(info: HistogramInfo) {
    this.name = info.name
    this.#bounds = info.bounds
    this.#table = new SeriesTable(info, () => ({
      counts: info.bounds.map(() => 0),
      sum: 0,
      count: 0,
    }))
  }

  /** Adds a value, `times` times. */
  observe(value: number, labels: Labels = {}, times = 1): void {
    const distribution = this.#table.get(labels).value
    const at = this.#bounds.findIndex((bound) => value <= bound)
    if (at >= 0) distribution.counts[at]! += times
    distribution.sum += value * times
    distribution.count += times
  }

  /** For counts that are held elsewhere, one for each bound. */
  set(
    { counts, sum, count }: Omit<Distribution, 'counts'> & { readonly counts: readonly number[] },
    labels: Labels = {},
  ): void {
    Object.assign(this.#table.get(labels).value, { counts: [...counts], sum, count })
  }

  remove(label: string, value: string): void {
    this.#table.remove(label, value)
  }

  format(): string[] {
    return this.#table.format('histogram', ({ labels, value: { counts, sum, count } }) => {
      let below = 0
      const buckets = this.#bounds.map((bound, i) => {
        below += counts[i]!
        return `${this.name}_bucket${formatLabels(labels, { le: formatNumber(bound) })} ${below}`
      })
      return [
        ...buckets,
        `${this.name}_bucket${formatLabels(labels, { le: '+Inf' })} ${count}`,
        `${this.name}_sum${formatLabels(labels)} ${formatNumber(sum)}`,
        `${this.name}_count${formatLabels(labels)} ${count}`,
      ]
    })
  }
}

/** All metrics of a server, in the order in which they were added. */
export class MetricRegistry {
  readonly #metrics: Metric[] = []
  readonly #collectors: (() => void | Promise<void>)[] = []

  add<Of extends Metric>(metric: Of): Of {
    assertInternal(
      this.#metrics.every(({ name }) => name !== metric.name),
      `two metrics ${metric.name}`,
    )
    this.#metrics.push(metric)
    return metric
  }

  /** Calls this before the text is written, for values that are held elsewhere. */
  collectWith(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect)
  }

  /** Removes every series with this label from every metric. */
  removeSeries(label: string, value: string): void {
    for (const metric of this.#metrics) metric.remove(label, value)
  }

  async format(): Promise<string> {
    for (const collect of this.#collectors) await collect()
    return `${this.#metrics.flatMap((metric) => metric.format()).join('\n')}\n`
  }
}

/** The content type of /metrics. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'
