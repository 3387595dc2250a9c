// graft bench: runs the project's benchmarks, and a reference where one is installed.

import { OptionError } from '../../base/errors.ts'
import { flag, oneOf } from '../../base/schema.ts'
import { checkValue, defineCommand } from '../command.ts'
import type { Benchmark, BenchmarkRow, MeasuredValues } from '../bench/benchmark.ts'
import { formatRate } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/**
 * The command over a table of benchmarks, as it is typed; the table is loaded when the command
 * runs, because its modules are heavy.
 */
export const createBenchCommand = (
  loadTable: () => Promise<ReadonlyMap<string, Benchmark>>,
  invocation = 'graft bench',
) =>
  defineCommand({
    name: 'bench',
    invocation,
    summary: 'benchmarks: training and decoding, compared with PEFT and llama.cpp if installed',
    usage: '[name]',
    positionals: [0, 1],
    options: {
      http: flag({ about: 'of serve: through the server, against the engine without HTTP' }),
    },
    examples: [
      {
        command: invocation,
        about: 'the list of benchmarks, and what each needs for its reference',
      },
      { command: `${invocation} train`, about: 'training speed on the shape of SmolLM2-135M' },
      { command: `${invocation} serve --http`, about: 'the server, against its engine' },
      {
        command: `${invocation} decode --json > decode.json`,
        about: 'one JSON value, for keeping',
      },
    ],
    async run({ positionals: [given], values: { http }, terminal }) {
      const benchmarks = await loadTable()
      if (http && given !== 'serve')
        throw new OptionError(
          `--http: only serve is measured through HTTP: ${invocation} serve --http.`,
        )
      const name = http ? 'serve-http' : given
      if (name === undefined) return listBenchmarks([...benchmarks.values()], terminal)
      checkValue(oneOf([...benchmarks.keys()]), name, 'benchmark')
      return runBenchmark(benchmarks.get(name)!, terminal)
    },
  })

export const benchCommand = createBenchCommand(
  async () => (await import('../bench/benchmark-table.ts')).benchmarks,
)

function listBenchmarks(all: readonly Benchmark[], { print }: Terminal) {
  const rows = all.map(({ name, summary, needs }) => [name, summary, needs])
  for (const line of formatTable([['name', 'measures', 'needs for the reference'], ...rows]))
    print(line)
  return all.map(({ name, summary, needs }) => ({ name, summary, needs }))
}

async function runBenchmark(benchmark: Benchmark, terminal: Terminal) {
  const started = terminal.now()
  const { createNodeBackend } = await import('../../node/backend.ts')
  const { name: backend } = await createNodeBackend()
  terminal.note(`  on ${backend}`)
  const context = {
    environment: process.env,
    progress: (text: string) => terminal.note(terminal.style.faint(`  ${text}`)),
  }
  const rows: BenchmarkRow[] = []
  for await (const row of benchmark.run(context)) {
    rows.push(row)
    terminal.note(`  ${row.name}: ${describeValues(row.ours)} ${row.unit}`)
  }
  for (const line of formatTable(
    [['', 'ours', 'reference', 'unit', 'ratio', 'goal', ''], ...rows.map(describeRow)],
    ['left', 'right', 'right', 'left', 'right', 'right'],
  ))
    terminal.print(line)
  return {
    benchmark: benchmark.name,
    rows,
    backend,
    ...(await readMachine()),
    seconds: (terminal.now() - started) / 1000,
  }
}

const describeValues = ({ median, least, most }: MeasuredValues): string =>
  least === most
    ? formatRate(median)
    : `${formatRate(median)} (${formatRate(least)}–${formatRate(most)})`

function describeRow({
  name,
  unit,
  ours,
  reference,
  ratio,
  goal,
  note = '',
}: BenchmarkRow): string[] {
  const other = reference ? `${describeValues(reference)} ${reference.name}` : 'not installed'
  return [
    name,
    describeValues(ours),
    other,
    unit,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal === undefined ? '' : goal.toFixed(2),
    note,
  ]
}

/** What a figure means nothing without. */
async function readMachine() {
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
