// graft bench: the project's own benchmarks, beside a reference where one is installed.

import { defineCommand, UsageError } from '../command.ts'
import type { Benchmark, BenchmarkRow, Measured } from '../bench/benchmark.ts'
import { nearest } from '../../base/suggest.ts'
import { rate } from '../ui/format.ts'
import { table } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/**
 * The command over a table of benchmarks; the table is loaded when the command runs, because its
 * modules are heavy.
 */
export const createBenchCommand = (loadTable: () => Promise<ReadonlyMap<string, Benchmark>>) =>
  defineCommand({
    name: 'bench',
    summary: 'benchmarks: training and decoding, beside PEFT and llama.cpp where installed',
    usage: '[name]',
    words: [0, 1],
    options: {},
    examples: [
      {
        command: 'graft bench',
        about: 'the list of benchmarks, and what each needs for its reference',
      },
      { command: 'graft bench train', about: 'training speed on the shape of SmolLM2-135M' },
      { command: 'graft bench decode --json > decode.json', about: 'one JSON value, for keeping' },
    ],
    async run({ words: [name], terminal }) {
      const benchmarks = await loadTable()
      if (name === undefined) return list([...benchmarks.values()], terminal)
      const benchmark = benchmarks.get(name)
      if (benchmark) return measure(benchmark, terminal)
      const meant = nearest(name, [...benchmarks.keys()])
      throw new UsageError(
        `there is no benchmark ${JSON.stringify(name)}; there are ${[...benchmarks.keys()].join(', ')}.${meant ? ` Did you mean ${meant}?` : ''}`,
      )
    },
  })

export const bench = createBenchCommand(
  async () => (await import('../bench/benchmark-table.ts')).benchmarks,
)

function list(all: readonly Benchmark[], { print }: Terminal) {
  const rows = all.map(({ name, summary, needs }) => [name, summary, needs])
  for (const line of table([['name', 'measures', 'needs for the reference'], ...rows])) print(line)
  return all.map(({ name, summary, needs }) => ({ name, summary, needs }))
}

async function measure(benchmark: Benchmark, terminal: Terminal) {
  const started = terminal.now()
  const context = {
    environment: process.env,
    progress: (text: string) => terminal.note(terminal.style.faint(`  ${text}`)),
  }
  const rows: BenchmarkRow[] = []
  for await (const row of benchmark.run(context)) {
    rows.push(row)
    terminal.note(`  ${row.name}: ${figure(row.ours)} ${row.unit}`)
  }
  for (const line of table(
    [['', 'ours', 'reference', 'unit', 'ratio', 'goal', ''], ...rows.map(cells)],
    ['left', 'right', 'right', 'left', 'right', 'right'],
  ))
    terminal.print(line)
  return {
    benchmark: benchmark.name,
    rows,
    ...(await surroundings()),
    seconds: (terminal.now() - started) / 1000,
  }
}

const figure = ({ median, least, most }: Measured): string =>
  least === most ? rate(median) : `${rate(median)} (${rate(least)}–${rate(most)})`

function cells({ name, unit, ours, reference, ratio, goal, note = '' }: BenchmarkRow): string[] {
  const other = reference ? `${figure(reference)} ${reference.name}` : 'not installed'
  return [
    name,
    figure(ours),
    other,
    unit,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal === undefined ? '' : goal.toFixed(2),
    note,
  ]
}

/** What a figure means nothing without. */
async function surroundings() {
  const { availableParallelism, cpus, totalmem } = await import('node:os')
  return {
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryBytes: totalmem(),
    },
    node: process.version,
    date: new Date().toISOString(),
  }
}
