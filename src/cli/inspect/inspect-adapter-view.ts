// An inspected adapter as text: settings, norms of ΔW by layer and module, tensors.

import { adapterKinds, getKind } from '../../adapters/kinds/kind-table.ts'
import { type InspectedAdapter, type TensorSummary } from './inspect-adapter.ts'
import { describeLayers } from './layer-table.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { type Align, formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export function showAdapter(
  result: InspectedAdapter,
  tensors: readonly TensorSummary[],
  all: boolean,
  { print, style }: Terminal,
): void {
  const { path, kind, base, format, parameters, sizeBytes, types, sha256 } = result
  print(
    `${style.strong(path)}: ${/^[aio]/.test(kind) ? 'an' : 'a'} ${kind} adapter for ${base ?? 'a base that it does not name'}${forms[format] ?? ''}`,
  )
  for (const line of formatTable(listSettings(result))) print(line)
  const kept = Object.entries(types)
    .map(([dtype, { tensors: number }]) => `${number} ${dtype}`)
    .join(', ')
  print(
    `  ${formatCount(parameters)} parameters in ${tensors.length} tensors (${kept}), ${formatBytes(sizeBytes)}, sha-256 ${sha256.slice(0, 16)}…`,
  )
  for (const line of describeChanges(result)) print(line)
  const right: Align[] = ['left', 'left', 'left', 'right', 'right', 'right']
  for (const line of formatTable(
    [
      ['  tensor', 'type', 'shape', 'count', 'norm', 'largest'],
      ...listTensorRows(result, tensors, all),
    ],
    right,
  ))
    print(line)
}

/** The name of the format; none for PEFT's. */
const forms: Readonly<Record<string, string>> = {
  gguf: ', in a GGUF file',
  'mlx-lm': ', as mlx-lm saves it',
}

/** What is not left at nothing. */
function listSettings({ config, system, metadata }: InspectedAdapter): string[][] {
  const said = (value: unknown): boolean =>
    !(
      value === false ||
      value === 0 ||
      (typeof value === 'object' && Object.keys(value ?? {}).length === 0)
    )
  const list = (settings: Readonly<Record<string, unknown>>, front: string): string[][] =>
    Object.entries(settings).flatMap(([name, value]: [string, unknown]) => {
      if (adapterKinds.has(name))
        return list(value as Readonly<Record<string, unknown>>, `${name} `)
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      return said(value) ? [[`  ${front}${name}`, truncateText(text)]] : []
    })
  const rows = list(config, '')
  const scale = computeScale(config)
  return [
    ...rows,
    ...(scale === undefined ? [] : [['  scale', String(scale)]]),
    ...(system === null ? [] : [['  system message', system]]),
    ...Object.entries(metadata).map(([name, value]) => [`  ${name}`, value]),
  ]
}

const longest = 120 // of a list of whole paths the first two or three; --json has all
const truncateText = (text: string): string =>
  text.length > longest ? `${text.slice(0, longest)}…` : text

/** s of ΔW = s·B·A if all modules share one. */
function computeScale(config: Readonly<Record<string, unknown>>): number | undefined {
  const { rank, alpha, rankStabilized, rankPattern = {}, alphaPattern = {} } = config
  if (typeof rank !== 'number' || typeof alpha !== 'number') return undefined
  if (Object.keys({ ...(rankPattern as object), ...(alphaPattern as object) }).length > 0)
    return undefined
  return Math.round((1e6 * alpha) / (rankStabilized ? Math.sqrt(rank) : rank)) / 1e6
}

const formatNumber = (value: number): string => value.toFixed(4)

function describeChanges({ changes, norm, kind }: InspectedAdapter): string[] {
  if (norm === null)
    return getKind(kind).merge
      ? ['  The norms of ΔW depend on the base; name it with --model.']
      : []
  const what = changes.every(({ whole }) => whole)
    ? '‖ΔW‖'
    : '‖s·B·A‖, without what the base adds (--model),'
  return [
    `  ${what} by layer and module`,
    ...describeLayers(changes.map((change) => ({ ...change, path: change.module }))),
  ]
}

function listTensorRows(
  { modules }: InspectedAdapter,
  tensors: readonly TensorSummary[],
  all: boolean,
): string[][] {
  const shapeOf = (shape: readonly number[]): string => `[${shape.join(', ')}]`
  if (all)
    return tensors.map(({ key, dtype, shape, norm }) => [
      `  ${key}`,
      dtype,
      shapeOf(shape),
      '1',
      formatNumber(norm),
      formatNumber(norm),
    ])
  return modules.map(({ name, dtype, shape, count: times, meanNorm, largestNorm }) => [
    ...[
      `  ${name}`,
      dtype,
      shapeOf(shape),
      String(times),
      formatNumber(meanNorm),
      formatNumber(largestNorm),
    ],
  ])
}
