// snips_json (a sentence in, its intent and slots as JSON out): rows, settings that work, scoring.

import { isEqualJson } from '../../eval/json.ts'
import { createRawDataset, type RawDataset } from '../../train/data/jsonl.ts'
import type { TrainSettings } from '../../train/options/settings.ts'

export interface SnipsExample {
  readonly text: string
  readonly json: { readonly intent: string; readonly slots: Readonly<Record<string, string>> }
}

export const snipsSystem = 'Intent and slots as JSON.'

/**
 * The settings of PEFT's reference run: about eight rows a step, one epoch, no weight decay. They
 * are the same here so that results can be compared.
 */
export const snipsSettings = {
  epochs: 1,
  batch: { rows: 2, tokens: 256 },
  packing: true,
  learningRate: 2e-3,
  weightDecay: 0,
  schedule: 'cosine',
  warmupShare: 0.05,
  clip: 1,
  seed: 0,
  system: snipsSystem,
} as const satisfies Partial<TrainSettings>

/** JSON as Python's json.dumps writes it: a space after commas and colons. */
export function stringifyJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(stringifyJson).join(', ')}]`
  const entries = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}: ${stringifyJson(item)}`,
  )
  return `{${entries.join(', ')}}`
}

/** Rows as prompt and completion. */
export const toSnipsDataSet = (rows: readonly object[]): RawDataset =>
  createRawDataset(
    (rows as readonly SnipsExample[]).map(({ text, json }) => ({
      prompt: text,
      completion: stringifyJson(json),
    })),
    'snips_json',
  )

export interface SnipsScore {
  readonly rows: number
  /** The whole answer is the wanted JSON. */
  readonly exact: number
  /** The answer is JSON. */
  readonly valid: number
  readonly intent: number
  /** Of all (slot, value) pairs together: 2·hits / (found + wanted). */
  readonly slotF1: number
}

function parseAnswer(answer: string): { intent?: unknown; slots?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(answer)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return undefined
  }
}

const listPairs = (slots: unknown): Set<string> =>
  new Set(
    Object.entries((slots ?? {}) as object).map(([name, value]) => JSON.stringify([name, value])),
  )

/**
 * Scores answers as the reference does: exact JSON (key order does not count), JSON at all, the
 * intent, and F1 over slots.
 */
export function scoreSnips(rows: readonly SnipsExample[], answers: readonly string[]): SnipsScore {
  let exact = 0
  let valid = 0
  let intent = 0
  let hits = 0
  let found = 0
  let wanted = 0
  rows.forEach(({ json }, i) => {
    const want = listPairs(json.slots)
    wanted += want.size
    const answer = parseAnswer(answers[i]!)
    if (!answer) return
    valid++
    exact += +isEqualJson(answer, json)
    intent += +(answer.intent === json.intent)
    const got = listPairs(answer.slots)
    found += got.size
    for (const pair of got) hits += +want.has(pair)
  })
  return {
    rows: rows.length,
    exact,
    valid,
    intent,
    slotF1: (2 * hits) / Math.max(1, found + wanted),
  }
}
